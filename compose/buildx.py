"""Builds that the engine's own builder cannot do, by `docker buildx` where it is installed.

What it builds is loaded into the same engine, so all that comes after a build is the same.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from compose.engine_events import LINES_KEPT
from compose.errors import BuildFailed, one_line
from compose.project import Build, Project, UlimitPair
from compose.publish_plan import Job

QUESTION_TIMEOUT_S = 30
_KEYS = ("additional_contexts", "entitlements", "no_cache_filter", "privileged", "secrets", "ssh", "ulimits")


def keys_for_buildx(build: Build) -> list[str]:
    """Return what a build asks that the engine's own builder does not know."""
    return [key for key in _KEYS if getattr(build, key)]


@dataclass(frozen=True)
class Buildx:
    """The command `docker buildx`, and the environment in which it speaks to the engine that images are pushed from."""

    program: str
    environment: Mapping[str, str]

    def build(self, job: Job, arguments: list[str], said: Callable[[str], None]) -> None:
        """Build and load; `said` gets each line. Raise `BuildFailed` with the last ones."""
        last: deque[str] = deque(maxlen=LINES_KEPT)
        command = [self.program, "buildx", "build", "--load", "--progress", "plain", *arguments]
        with subprocess.Popen(
            command,
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    if line.strip():
                        last.append(one_line(line))
                        said(last[-1])
            except BaseException:
                process.kill()  # whatever ends us ends the build as well
                raise
        if process.returncode:
            message = f"services.{job.services[0]}: the build failed: {' | '.join(last)}"
            raise BuildFailed(message, lines=tuple(last))


def find_buildx(environment: Mapping[str, str], address: str) -> Buildx | None:
    """Return buildx for the engine at `address`; None where it is not installed."""
    program = shutil.which("docker", path=environment.get("PATH"))
    if program is None:
        return None
    ours = {**environment, "DOCKER_HOST": address}
    try:
        asked = subprocess.run(
            [program, "buildx", "version"], env=ours, capture_output=True, timeout=QUESTION_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return Buildx(program, ours) if asked.returncode == 0 else None


@contextlib.contextmanager
def buildx_arguments(job: Job, build: Build, project: Project, dockerfile: str | None) -> Iterator[list[str]]:
    """Yield the arguments of a build. Secrets that are variables lie in files only as long as this lasts."""
    with tempfile.TemporaryDirectory(prefix="skerry-build-") as folder:
        yield [*_arguments(job, build, dockerfile), *_secrets(job, build, project, Path(folder)), "--", build.context]


def _arguments(job: Job, build: Build, dockerfile: str | None) -> Iterator[str]:
    """Yield all but secrets and the context. Pure."""
    single = {
        "--tag": job.name,
        "--platform": job.platform,
        "--file": _file(build, dockerfile),
        "--target": build.target,
        "--network": build.network,
        "--shm-size": str(build.shm_size or ""),
    }
    for option, value in single.items():
        if value:
            yield from (option, value)
    many = {
        "--build-arg": [name if value is None else f"{name}={value}" for name, value in build.args.items()],
        "--label": [f"{name}={value}" for name, value in build.labels.items()],
        "--cache-from": build.cache_from,
        "--add-host": [f"{host}={address}" for host, some in build.extra_hosts.items() for address in some],
        "--build-context": [f"{name}={_context(job, value)}" for name, value in build.additional_contexts.items()],
        "--ssh": [f"{name}={path}" if path else name for name, path in build.ssh.items()],
        "--ulimit": [f"{name}={_limit(limit)}" for name, limit in build.ulimits.items()],
        "--allow": [*build.entitlements, *(["security.insecure"] if build.privileged else [])],
        "--no-cache-filter": build.no_cache_filter,
    }
    for option, values in many.items():
        for value in values:
            yield from (option, value)
    yield from ["--no-cache"] if build.no_cache else []
    yield from ["--pull"] if build.pull else []
    yield "--provenance=false"  # an attestation would make an index of the image


def _file(build: Build, dockerfile: str | None) -> str:
    """Return where the Dockerfile is: unlike Compose, the command takes a path that is relative to where it runs."""
    is_local = dockerfile and "://" not in build.context
    return str(Path(build.context) / str(dockerfile)) if is_local else dockerfile or ""


def _context(job: Job, value: str) -> str:
    """Return another context: a path, an address, or what another service of the project is built to."""
    kind, _, name = value.partition(":")
    return f"docker-image://{job.built[name]}" if kind == "service" and name in job.built else value


def _limit(limit: UlimitPair | int) -> str:
    return str(limit) if isinstance(limit, int) else f"{limit.soft}:{limit.hard}"


def _secrets(job: Job, build: Build, project: Project, folder: Path) -> Iterator[str]:
    for at, reference in enumerate(build.secrets):
        resource = project.secrets[reference.source]
        path = Path(resource.file)
        if resource.environment:
            content = project.contents.get(f"secrets.{reference.source}")
            if content is None:
                where = f"services.{job.services[0]}.build.secrets[{at}]"
                raise BuildFailed(f"{where}: the variable {resource.environment} has no value here; set it")
            path = folder / str(at)
            path.touch(mode=0o600)
            path.write_bytes(content)
        yield from ("--secret", f"id={reference.target or reference.source},src={path}")
