"""How an image is built: by the engine's own builder, or by `docker buildx` for what only that can do."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import docker.errors

from compose.buildx import Buildx, buildx_arguments, keys_for_buildx
from compose.engine_events import Events
from compose.errors import BuildFailed
from compose.local_engine import Engine, Progress, Report, engine_errors, follow
from compose.paths import is_remote
from compose.project import Build, Project
from compose.publish_plan import Job

_FOREIGN_PROGRAM = "exec format error"


@dataclass(frozen=True)
class Builder:
    """Builds the images of one project."""

    engine: Engine
    buildx: Buildx | None
    project: Project
    report: Report

    def built(self, job: Job, build: Build) -> str:
        """Return the id of the image that a job builds, which is in the engine then; raise `BuildFailed`."""
        where = f"services.{job.services[0]}"
        with engine_errors(where), _dockerfile(where, build) as dockerfile:
            keys = keys_for_buildx(build)
            if self.buildx is not None and (keys or self._is_foreign(job.platform)):
                with buildx_arguments(job, build, self.project, dockerfile) as arguments:
                    self.buildx.build(job, arguments, partial(self._said, job))
                return self._found(job)
            if keys:
                cure = "`docker buildx` can, and is not installed here"
                raise BuildFailed(f"{where}.build.{keys[0]}: the engine's own builder cannot do this; {cure}")
            return self._built_by_engine(where, job, build, dockerfile)

    def _is_foreign(self, platform: str) -> bool:
        """Return whether a platform is another than the engine's own."""
        return bool(platform) and _machine(platform) != str(self.engine.version().get("Arch") or "")

    def _built_by_engine(self, where: str, job: Job, build: Build, dockerfile: str | None) -> str:
        image_id = self._run(where, job, build, dockerfile)
        if job.platform and not self._fits(image_id, job.platform):
            # The builder takes what it has built for another platform out of its cache.
            image_id = self._run(where, job, build.model_copy(update={"no_cache": True}), dockerfile)
        if job.platform and not self._fits(image_id, job.platform):
            made = self.engine.inspect_image(image_id).get("Architecture")
            cure = "does FROM name an image of that platform?"
            raise BuildFailed(f"{where}: the image is for {made}, and the platform is {job.platform}; {cure}")
        return image_id

    def _fits(self, image_id: str, platform: str) -> bool:
        return bool(self.engine.inspect_image(image_id).get("Architecture") == _machine(platform))

    def _run(self, where: str, job: Job, build: Build, dockerfile: str | None) -> str:
        try:
            stream = self.engine.build(**_engine_arguments(job, build, dockerfile), rm=True, forcerm=True, decode=True)
            events = follow(stream, job.services[0], "build", self.report)
        except docker.errors.APIError as error:
            raise BuildFailed(f"{where}: the build was refused: {error.explanation or error}") from error
        except (OSError, TypeError, docker.errors.DockerException) as error:
            raise BuildFailed(f"{where}: the context cannot be read: {error}") from error
        if events.error:
            raise _failure(where, job, events)
        return events.image_id or self._found(job)

    def _found(self, job: Job) -> str:
        try:
            return str(self.engine.inspect_image(job.name)["Id"])
        except docker.errors.ImageNotFound as error:
            why = "the builder left no image; does build.target name a stage of the Dockerfile?"
            raise BuildFailed(f"services.{job.services[0]}: {why}") from error

    def _said(self, job: Job, line: str) -> None:
        self.report(Progress(job.services[0], "build", text=line))


def _machine(platform: str) -> str:
    return platform.partition("/")[2].partition("/")[0]


def _failure(where: str, job: Job, events: Events) -> BuildFailed:
    last = " | ".join(events.lines)
    if job.platform and _FOREIGN_PROGRAM in f"{events.error} {last}":
        cure = f"this machine runs no programs for {job.platform}: install an emulator (qemu-user-static)"
        return BuildFailed(f"{where}: the build failed at {events.step!r}; {cure}", lines=tuple(events.lines))
    step = f" at {events.step!r}" if events.step else ""
    message = f"{where}: the build failed{step}: {events.error}{': ' + last if last else ''}"
    return BuildFailed(message, lines=tuple(events.lines))


@contextlib.contextmanager
def _dockerfile(where: str, build: Build) -> Iterator[str | None]:
    """Yield where the Dockerfile is; one that is written in the project lies in a file as long as this lasts."""
    name = build.dockerfile or None
    if build.dockerfile_inline:  # the engine's client puts a Dockerfile from outside the context into what it sends
        with tempfile.TemporaryDirectory(prefix="skerry-build-") as folder:
            path = Path(folder) / "Dockerfile"
            path.write_text(build.dockerfile_inline, encoding="utf-8")
            yield str(path)
        return
    if not is_remote(build.context) and not (Path(build.context) / (name or "Dockerfile")).is_file():
        raise BuildFailed(f"{where}.build: there is no {name or 'Dockerfile'} in {build.context}")
    yield name


def _engine_arguments(job: Job, build: Build, dockerfile: str | None) -> dict[str, Any]:
    """Return the arguments of docker-py's `build`."""
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
