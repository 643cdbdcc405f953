"""What of a project becomes containers on a device. Pure.

Services without replicas are left out, `pre_start` becomes services that end before theirs begins, and a network that
is only a word for one of the engine's modes becomes that mode.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from compose.errors import Unsupported
from compose.project import Attachment, Dependency, Healthcheck, Hook, Project, Service, Skerry

_MODES = ("host", "none")


def replicas(service: Service) -> int:
    """Return how many containers a service has. `global` is one on each device."""
    deploy = service.deploy
    if service.scale is not None:
        return service.scale
    if deploy is None or deploy.replicas is None or deploy.mode == "global":
        return 1
    return deploy.replicas


def left_out(project: Project) -> list[str]:
    """Return the services that have no replicas."""
    return [name for name, service in project.services.items() if replicas(service) == 0]


def running(project: Project) -> Project:
    """Return the project as a device runs it; raise `Unsupported` for what cannot be put so."""
    gone = set(left_out(project))
    services: dict[str, Service] = {}
    for name, service in project.services.items():
        if name not in gone:
            waiting = {other: how for other, how in service.depends_on.items() if other not in gone}
            alone = service.model_copy(update={"depends_on": waiting})
            services.update(_with_steps(project, name, _with_mode(project, name, alone)))
    if not services:
        raise Unsupported("no service has replicas; one must run", path=("services",))
    used = {network for service in services.values() for network in service.networks}
    networks = {name: network for name, network in project.networks.items() if name in used or not _mode(project, name)}
    return replace(project, services=services, networks=networks)


def _mode(project: Project, network: str) -> str:
    given = project.networks.get(network)
    return given.name if given is not None and given.external and given.name in _MODES else ""


def _with_mode(project: Project, name: str, service: Service) -> Service:
    """Return the service with the engine's mode in place of an external network called `host` or `none`."""
    modes = [mode for network in service.networks if (mode := _mode(project, network))]
    if not modes:
        return service
    if len(service.networks) > 1:
        raise Unsupported(f"{modes[0]} goes with no other network", path=("services", name, "networks"))
    return service.model_copy(update={"network_mode": modes[0], "networks": {}})


def _with_steps(project: Project, name: str, service: Service) -> Iterator[tuple[str, Service]]:
    """Yield the services that do what is to be done before one starts, one after the other, and then itself."""
    depends_on: Mapping[str, Dependency] = service.depends_on
    for at, hook in enumerate(service.pre_start):
        path = ("services", name, "pre_start", at)
        if hook.per_replica and replicas(service) > 1:
            raise Unsupported("must be false where there are several replicas", path=(*path, "per_replica"))
        step = f"{name}-pre-start-{at + 1}"
        if step in project.services:
            raise Unsupported(f"its container would be called like service {step!r}", path=path)
        yield step, _step(project, name, service.model_copy(update={"depends_on": depends_on}), hook)
        depends_on = {**service.depends_on, step: Dependency(condition="service_completed_successfully")}
    yield name, service.model_copy(update={"depends_on": depends_on, "pre_start": ()}) if service.pre_start else service


def _step(project: Project, name: str, service: Service, hook: Hook) -> Service:
    """Return one step as a service: with what the service has, but for what a server has or only one container may."""
    own = service.image or f"{project.name}-{name}"  # what is built is found by this name
    ours = service.skerry
    return service.model_copy(
        update={
            "image": hook.image or own,
            "build": None,
            "command": hook.command,
            "entrypoint": (),
            "user": hook.user or service.user,
            "privileged": hook.privileged or service.privileged,
            "working_dir": hook.working_dir or service.working_dir,
            "environment": {**service.environment, **hook.environment},
            "networks": dict.fromkeys(service.networks, Attachment()),
            "healthcheck": Healthcheck(disable=True),
            "deploy": service.deploy.model_copy(update=_ONCE) if service.deploy else None,
            "skerry": Skerry(telemetry=ours.telemetry, redis=ours.redis) if ours else None,
            **_ALONE,
        }
    )


_ONCE = {"mode": "", "replicas": None, "restart_policy": None, "update_config": None, "rollback_config": None}
_ALONE = {
    "ports": (),
    "expose": (),
    "container_name": "",
    "hostname": "",
    "mac_address": "",
    "restart": "no",
    "scale": None,
    "pre_start": (),
    "post_start": (),
    "pre_stop": (),
    "links": (),
}
