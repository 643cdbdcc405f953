"""Images of a project: built or fetched by the local engine, pushed to a registry, told by digest.

The one place of the command line that speaks to a container engine. What is to be done is decided by
`compose/publish_plan.py`; what the engine tells is read by `compose/engine_events.py`.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import docker
import docker.errors
import docker.utils
import requests

from broker.appspec import Image
from compose.engine_events import Events, is_unauthorized, is_unreachable
from compose.errors import (
    BuildFailed,
    EngineUnreachable,
    ImageMissing,
    PushFailed,
    PushUnauthorized,
    RegistryUnreachable,
    one_line,
)
from compose.paths import is_remote
from compose.project import Build, Project
from compose.publish_plan import PULL_ALWAYS, PULL_NEVER, Job, plan

SILENCE_S_MAX = 3600.0  # a build step may compile for long without a word; a dead engine is noticed by its socket
TAG = "skerry-push"  # temporary, in a repository of our own

TokenFor = Callable[[str], str]


class Engine(Protocol):
    """What this module asks of a container engine: a part of docker-py's `APIClient`."""

    def inspect_image(self, image: str) -> Mapping[str, Any]: ...
    def build(self, **arguments: Any) -> Iterable[Mapping[str, Any]]: ...
    def pull(self, repository: str, **arguments: Any) -> Iterable[Mapping[str, Any]]: ...
    def push(self, repository: str, **arguments: Any) -> Iterable[Mapping[str, Any]]: ...
    def tag(self, image: str, repository: str, **arguments: Any) -> bool: ...
    def remove_image(self, image: str, **arguments: Any) -> object: ...


@dataclass(frozen=True)
class Progress:
    """How far one service's image is. `text` is the engine's last word, for a person."""

    service: str
    phase: Literal["build", "pull", "push", "done"]
    done_bytes: int = 0
    total_bytes: int = 0
    text: str = ""


Report = Callable[[Progress], None]


def connect(address: str | None = None) -> Engine:
    """Return the engine at `address`, or the one that the environment names; raise `EngineUnreachable`."""
    try:
        arguments = {"base_url": address} if address else docker.utils.kwargs_from_env()
        engine: Engine = docker.APIClient(version="auto", timeout=SILENCE_S_MAX, **arguments)
    except docker.errors.DockerException as error:
        raise EngineUnreachable(
            f"the container engine does not answer ({one_line(str(error), 160)}); is it running, and may you use it?"
        ) from error
    return engine


def publish_images(
    project: Project,
    *,
    engine: Engine,
    registry: str,
    namespace: str,
    token_for: TokenFor = lambda repository: "",
    progress: Report = lambda step: None,
) -> dict[str, Image]:
    """Return the image of every service, after all of them are in the registry.

    `registry` is `host:port`, `namespace` `<org id>/<app id>`; `token_for` returns the bearer token for pushing to a
    repository, empty for a registry that asks for none. An image that several services use is pushed once. The local
    engine keeps the images, without the names they were pushed by.
    """
    pushed: dict[str, Image] = {}  # by the engine's id of the image
    images: dict[str, Image] = {}
    publisher = _Publisher(engine, project, progress)
    for job in plan(project):
        image_id = publisher.obtained(job)
        if image_id not in pushed:
            repository = f"{namespace}/{job.services[0]}"
            digest = publisher.pushed(job, image_id, f"{registry}/{repository}", token_for(repository))
            pushed[image_id] = Image(repository=repository, digest=digest, platform=job.platform)
        images.update(dict.fromkeys(job.services, pushed[image_id]))
        for service in job.services:
            progress(Progress(service, "done", text=pushed[image_id].digest))
    return images


class _Publisher:
    """Carries out single jobs."""

    def __init__(self, engine: Engine, project: Project, report: Report) -> None:
        self._engine = engine
        self._project = project
        self._report = report

    def obtained(self, job: Job) -> str:
        """Return the id of the job's image, which is in the engine then."""
        if job.build is not None:
            return self._built(job, job.build)
        image_id = None if job.pull == PULL_ALWAYS else self._found(job.name, job.platform)
        if image_id is None and job.pull == PULL_NEVER:
            raise ImageMissing(
                f"services.{job.services[0]}: image {job.name} is not in the local engine; build or pull it"
            )
        if image_id is None:
            self._pull(job)
            image_id = self._found(job.name)
        if image_id is None:
            raise ImageMissing(
                f"services.{job.services[0]}: the engine does not find image {job.name} after pulling it"
            )
        return image_id

    def _found(self, name: str, platform: str = "") -> str | None:
        with _engine_errors(name):
            try:
                image = self._engine.inspect_image(name)
            except docker.errors.ImageNotFound:
                return None
            except docker.errors.APIError as error:
                raise ImageMissing(f"image {name} cannot be looked up: {error.explanation or error}") from error
        fits = not platform or platform.split("/")[1:2] == [image.get("Architecture")]
        return str(image["Id"]) if fits else None

    def _pull(self, job: Job) -> None:
        repository, tag = docker.utils.parse_repository_tag(job.name)
        where = f"services.{job.services[0]}: image {job.name}"
        with _engine_errors(where):
            try:
                stream = self._engine.pull(
                    repository, tag=tag or "latest", platform=job.platform or None, stream=True, decode=True
                )
                events = self._follow(stream, job, "pull")
            except docker.errors.NotFound as error:
                raise ImageMissing(f"{where} does not exist ({error.explanation}); correct its name") from error
            except docker.errors.APIError as error:
                raise _pull_error(where, str(error.explanation or error)) from error
        if events.error:
            raise _pull_error(where, events.error)

    def _built(self, job: Job, build: Build) -> str:
        where = f"services.{job.services[0]}"
        with _engine_errors(where), contextlib.ExitStack() as stack:
            try:
                stream = self._engine.build(**_build_arguments(job, build, stack), rm=True, forcerm=True, decode=True)
                events = self._follow(stream, job, "build")
            except docker.errors.APIError as error:
                raise BuildFailed(f"{where}: the build was refused: {error.explanation or error}") from error
            except (OSError, TypeError, docker.errors.DockerException) as error:
                raise BuildFailed(f"{where}: the context cannot be read: {error}") from error
        if events.error:
            last = " | ".join(events.lines)
            step = f" at {events.step!r}" if events.step else ""
            raise BuildFailed(
                f"{where}: the build failed{step}: {events.error}{': ' + last if last else ''}",
                lines=tuple(events.lines),
            )
        image_id = events.image_id or self._found(job.name)
        if not image_id:
            raise BuildFailed(f"{where}: the engine tells no image; does build.target name a stage of the Dockerfile?")
        return image_id

    def pushed(self, job: Job, image_id: str, repository: str, token: str) -> str:
        """Return the digest of the manifest that the registry has after pushing."""
        where = f"services.{job.services[0]}: pushing to {repository}"
        credentials = {"registrytoken": token} if token else {}
        with _engine_errors(where):
            try:
                self._engine.tag(image_id, repository, tag=TAG, force=True)
                stream = self._engine.push(repository, tag=TAG, stream=True, decode=True, auth_config=credentials)
                events = self._follow(stream, job, "push")
            except docker.errors.APIError as error:
                raise _push_error(where, str(error.explanation or error)) from error
            finally:
                self._forget(image_id, repository)
        if events.error:
            raise _push_error(where, events.error)
        if not events.digest:
            raise PushFailed(f"{where}: the registry told no digest; try again")
        return events.digest

    def _forget(self, image_id: str, repository: str) -> None:
        """Remove the names an image has from being pushed, unless it has no others: the image itself has to stay."""
        with contextlib.suppress(docker.errors.APIError):
            image = self._engine.inspect_image(image_id)
            names = [*(image.get("RepoTags") or ()), *(image.get("RepoDigests") or ())]
            ours = [name for name in names if name.startswith((f"{repository}:", f"{repository}@"))]
            if len(ours) < len(names):
                for name in ours:
                    with contextlib.suppress(docker.errors.ImageNotFound):  # gone with the last tag of its repository
                        self._engine.remove_image(name, noprune=True)

    def _follow(self, stream: Iterable[Mapping[str, Any]], job: Job, phase: Literal["build", "pull", "push"]) -> Events:
        events = Events()
        for event in stream:
            changed = events.take(event)
            text = one_line(str(event.get("stream") or ""), 200)
            if changed or text:
                self._report(Progress(job.services[0], phase, events.done_bytes, events.total_bytes, text))
        return events


def _build_arguments(job: Job, build: Build, stack: contextlib.ExitStack) -> dict[str, Any]:
    where = f"services.{job.services[0]}.build"
    dockerfile = build.dockerfile or None
    if build.dockerfile_inline:  # the engine's client puts a Dockerfile from outside the context into what it sends
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="skerry-build-")))
        (folder / "Dockerfile").write_text(build.dockerfile_inline, encoding="utf-8")
        dockerfile = str(folder / "Dockerfile")
    elif not is_remote(build.context) and not (Path(build.context) / (dockerfile or "Dockerfile")).is_file():
        raise BuildFailed(f"{where}: there is no {dockerfile or 'Dockerfile'} in {build.context}")
    return {
        "path": build.context,
        "tag": job.name,
        "dockerfile": dockerfile,
        "buildargs": {name: value for name, value in build.args.items() if value is not None},
        "labels": dict(build.labels) or None,
        "target": build.target or None,
        "network_mode": build.network or None,
        "cache_from": list(build.cache_from) or None,
        "nocache": build.no_cache,
        "pull": build.pull,
        "shmsize": build.shm_size,
        "extra_hosts": {host: addresses[0] for host, addresses in build.extra_hosts.items() if addresses} or None,
        "platform": job.platform or None,
    }


def _pull_error(where: str, message: str) -> Exception:
    if is_unreachable(message):
        return RegistryUnreachable(f"{where}: its registry does not answer ({one_line(message, 160)}); try again later")
    return ImageMissing(f"{where} cannot be pulled: {message}; correct its name, or log in to its registry")


def _push_error(where: str, message: str) -> Exception:
    if is_unauthorized(message):
        return PushUnauthorized(f"{where} is not allowed ({message}); log in again, or ask for the right to push")
    if is_unreachable(message):
        return RegistryUnreachable(f"{where}: the registry does not answer ({one_line(message, 160)}); try again later")
    return PushFailed(f"{where} failed: {message}")


@contextlib.contextmanager
def _engine_errors(where: str) -> Iterator[None]:
    """Translate what tells that the engine itself is gone."""
    try:
        yield
    except requests.exceptions.RequestException as error:
        raise EngineUnreachable(f"{where}: the container engine went away ({one_line(str(error), 160)})") from error
