"""Images of a project: built or fetched by the local engine, pushed to a registry, told by digest.

What is to be done is decided by `compose/publish_plan.py`; what the engine tells is read by `compose/engine_events.py`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import docker.errors
import docker.utils

from broker.appspec import Image
from compose.building import Builder
from compose.buildx import Buildx
from compose.engine_events import is_unauthorized, is_unreachable
from compose.errors import ImageMissing, PushFailed, PushUnauthorized, RegistryUnreachable, one_line
from compose.local_engine import Engine, Progress, Report, engine_errors, follow
from compose.project import Project
from compose.publish_plan import PULL_ALWAYS, PULL_NEVER, Job, plan

TAG = "skerry-push"  # temporary, in a repository of our own

TokenFor = Callable[[str], str]


def publish_images(
    project: Project,
    *,
    engine: Engine,
    registry: str,
    namespace: str,
    token_for: TokenFor = lambda repository: "",
    progress: Report = lambda step: None,
    buildx: Buildx | None = None,
    platform: str = "",
) -> dict[str, Image]:
    """Return the image of every service, after all of them are in the registry.

    `registry` is `host:port`, `namespace` `<org id>/<app id>`; `token_for` returns the bearer token for pushing to a
    repository, empty for a registry that asks for none. `platform` is for services that name none. An image that
    several services use is pushed once. The local engine keeps the images, without the names they were pushed by.
    """
    pushed: dict[str, Image] = {}  # by the engine's id of the image
    images: dict[str, Image] = {}
    builder = Builder(engine, buildx, project, progress)
    publisher = _Publisher(engine, builder, progress)
    for job in plan(project, platform=platform):
        image_id = publisher.obtained(job)
        if image_id not in pushed:
            repository = f"{namespace}/{job.services[0]}"
            digest = publisher.pushed(job, image_id, f"{registry}/{repository}", token_for(repository))
            pushed[image_id] = Image(repository=repository, digest=digest, platform=publisher.platform(image_id))
        images.update(dict.fromkeys(job.services, pushed[image_id]))
        for service in job.services:
            progress(Progress(service, "done", text=pushed[image_id].digest))
    return images


class _Publisher:
    """Carries out single jobs."""

    def __init__(self, engine: Engine, builder: Builder, report: Report) -> None:
        self._engine = engine
        self._builder = builder
        self._report = report

    def obtained(self, job: Job) -> str:
        """Return the id of the job's image, which is in the engine then."""
        if job.build is not None:
            return self._builder.built(job, job.build)
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
        with engine_errors(name):
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
        with engine_errors(where):
            try:
                stream = self._engine.pull(
                    repository, tag=tag or "latest", platform=job.platform or None, stream=True, decode=True
                )
                events = follow(stream, job.services[0], "pull", self._report)
            except docker.errors.NotFound as error:
                raise ImageMissing(f"{where} does not exist ({error.explanation}); correct its name") from error
            except docker.errors.APIError as error:
                raise _pull_error(where, str(error.explanation or error)) from error
        if events.error:
            raise _pull_error(where, events.error)

    def platform(self, image_id: str) -> str:
        """Return what an image is for, as Compose spells it."""
        with engine_errors(image_id):
            image = self._engine.inspect_image(image_id)
        parts = (image.get("Os"), image.get("Architecture"), image.get("Variant"))
        return "/".join(str(part) for part in parts if part)

    def pushed(self, job: Job, image_id: str, repository: str, token: str) -> str:
        """Return the digest of the manifest that the registry has after pushing."""
        where = f"services.{job.services[0]}: pushing to {repository}"
        credentials = {"registrytoken": token} if token else {}
        with engine_errors(where):
            try:
                self._engine.tag(image_id, repository, tag=TAG, force=True)
                stream = self._engine.push(repository, tag=TAG, stream=True, decode=True, auth_config=credentials)
                events = follow(stream, job.services[0], "push", self._report)
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
