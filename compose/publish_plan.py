"""What has to be built, fetched and pushed so that a project's images are in a registry. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from compose.errors import Unsupported
from compose.project import Build, Project, Service
from compose.running import running

PULL_ALWAYS = "always"
PULL_NEVER = "never"
_PULL_BUILD = "build"


@dataclass(frozen=True)
class Job:
    """One image: the services that use it, its name in the local engine, and how it gets there.

    With `build` it is built; without, it is fetched where it is missing, always or never, as `pull` says.
    """

    services: tuple[str, ...]
    name: str
    platform: str = ""
    build: Build | None = None
    pull: str = ""


def plan(project: Project) -> list[Job]:
    """Return the jobs in the order they have to be done: what is built first, because others may use its name."""
    project = running(project)
    built: list[Job] = []
    fetched: dict[tuple[str, str], Job] = {}
    for name, service in sorted(project.services.items()):
        platform = _platform(name, service)
        local = service.image or f"{project.name}-{name}"
        if service.build is not None and (service.pull_policy in ("", _PULL_BUILD) or not service.image):
            built.append(Job(services=(name,), name=local, platform=platform, build=service.build))
            continue
        if not service.image:
            raise Unsupported("has no image", path=("services", name))
        known = fetched.get((local, platform))
        services = (*known.services, name) if known else (name,)
        policies = {service.pull_policy, known.pull if known else ""}
        pull = PULL_ALWAYS if PULL_ALWAYS in policies else PULL_NEVER if policies == {PULL_NEVER} else ""
        if known is None and service.pull_policy == PULL_NEVER:
            pull = PULL_NEVER
        fetched[local, platform] = Job(services=services, name=local, platform=platform, pull=pull)
    names_built = {job.name for job in built}
    return built + [job if job.name not in names_built else _as_built(job) for job in fetched.values()]


def _as_built(job: Job) -> Job:
    """Return a job that takes the image another job has just built, and never a registry's of the same name."""
    return Job(services=job.services, name=job.name, platform=job.platform, pull=PULL_NEVER)


def _platform(name: str, service: Service) -> str:
    wanted = service.build.platforms if service.build else ()
    if service.platform:
        if wanted and service.platform not in wanted:
            message = f"{service.platform} is not among build.platforms; name it there, or remove one of them"
            raise Unsupported(message, path=("services", name, "platform"))
        return service.platform
    if len(wanted) > 1:
        raise Unsupported(
            "an app is pushed for one platform at a time; set 'platform'", path=("services", name, "build", "platforms")
        )
    return wanted[0] if wanted else ""
