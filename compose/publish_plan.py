"""What has to be built, fetched and pushed so that a project's images are in a registry. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from graphlib import TopologicalSorter

from broker.circles import dependency_cycle
from compose.errors import Unsupported
from compose.project import Build, Project, Service
from compose.running import running

PULL_ALWAYS = "always"
PULL_NEVER = "never"
_PULL_BUILD = "build"


@dataclass(frozen=True)
class Job:
    """One image: the services that use it, its name in the local engine, and how it gets there.

    With `build` it is built; without, it is fetched where it is missing, always or never, as `pull` says. `built` are
    the local names of services that are built before, for a build that uses them.
    """

    services: tuple[str, ...]
    name: str
    platform: str = ""
    build: Build | None = None
    pull: str = ""
    built: Mapping[str, str] = field(default_factory=dict)


def plan(project: Project, *, platform: str = "") -> list[Job]:
    """Return the jobs in the order they have to be done: what is built first, because others may use its name.

    `platform` is for services that name none.
    """
    project = running(project)
    built: list[Job] = []
    fetched: dict[tuple[str, str], Job] = {}
    for name, service in sorted(project.services.items()):
        chosen = _platform(name, service, platform)
        local = service.image or f"{project.name}-{name}"
        if service.build is not None and (service.pull_policy in ("", _PULL_BUILD) or not service.image):
            built.append(Job(services=(name,), name=local, platform=chosen, build=service.build))
            continue
        if not service.image:
            raise Unsupported("has no image", path=("services", name))
        known = fetched.get((local, chosen))
        services = (*known.services, name) if known else (name,)
        policies = {service.pull_policy, known.pull if known else ""}
        pull = PULL_ALWAYS if PULL_ALWAYS in policies else PULL_NEVER if policies == {PULL_NEVER} else ""
        if known is None and service.pull_policy == PULL_NEVER:
            pull = PULL_NEVER
        fetched[local, chosen] = Job(services=services, name=local, platform=chosen, pull=pull)
    names_built = {job.name for job in built}
    return _in_order(built) + [job if job.name not in names_built else _as_built(job) for job in fetched.values()]


def _as_built(job: Job) -> Job:
    """Return a job that takes the image another job has just built, and never a registry's of the same name."""
    return Job(services=job.services, name=job.name, platform=job.platform, pull=PULL_NEVER)


def _in_order(jobs: Sequence[Job]) -> list[Job]:
    """Return the builds so that each comes after those whose results are contexts of it."""
    by_service = {job.services[0]: job for job in jobs}
    used = {name: [other for other in _contexts(job) if other in by_service] for name, job in by_service.items()}
    if circle := dependency_cycle({name: tuple(others) for name, others in used.items()}):
        path = ("services", circle[0], "build", "additional_contexts")
        raise Unsupported(f"goes in a circle: {' -> '.join(circle)}", path=path)
    names = {name: job.name for name, job in by_service.items()}
    return [
        replace(by_service[name], built={other: names[other] for other in used[name]})
        for name in TopologicalSorter(used).static_order()
    ]


def _contexts(job: Job) -> list[str]:
    values = job.build.additional_contexts.values() if job.build else ()
    return [value.removeprefix("service:") for value in values if value.startswith("service:")]


def _platform(name: str, service: Service, default: str) -> str:
    wanted = service.build.platforms if service.build else ()
    if service.platform:
        if wanted and service.platform not in wanted:
            message = f"{service.platform} is not among build.platforms; name it there, or remove one of them"
            raise Unsupported(message, path=("services", name, "platform"))
        return service.platform
    if default and (not wanted or default in wanted):
        return default
    if len(wanted) > 1:
        cure = "set 'platform', or DOCKER_DEFAULT_PLATFORM"
        path = ("services", name, "build", "platforms")
        raise Unsupported(f"an app is pushed for one platform at a time; {cure}", path=path)
    return wanted[0] if wanted else ""
