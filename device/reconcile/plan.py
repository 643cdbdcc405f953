"""The plan: a pure function from what is wanted and what was observed to the steps that can be taken now.

The loop observes again after every round, so a plan never contains a step whose precondition another step of the same
plan must first make true beyond the order given: fetch before touch, networks and volumes before containers, and a
service starts only when what it depends on is as it asks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import TopologicalSorter

from broker.appspec import Dependency
from device.engine.port import Container, Observed, WantedContainer
from device.reconcile.steps import (
    Create,
    CreateNetwork,
    CreateVolume,
    Plan,
    Pull,
    Remove,
    RemoveNetwork,
    Start,
    Step,
    Stop,
    Waiting,
)
from device.reconcile.wanted import Wanted


def images_needed(apps: Sequence[Wanted], observed: Observed) -> list[str]:
    """Return the images that a container must still be made from: only these need looking up."""
    have = {container.hash for container in observed.containers}
    return sorted({c.image for app in apps for c in app.containers.values() if c.hash not in have})


def plan(apps: Sequence[Wanted], observed: Observed, *, absent_images: frozenset[str] = frozenset()) -> Plan:
    """Return what to do now. `absent_images` are those of `images_needed` that the engine does not hold."""
    steps: list[Step] = []
    waiting: list[Waiting] = []
    wanted_instances = {app.instance for app in apps}
    for container in sorted(observed.containers, key=lambda c: (c.instance, c.service, c.id)):
        if container.instance not in wanted_instances:
            steps += _away(container, grace_s=10, cause="its app is not in the desired state")
    for app in sorted(apps, key=lambda a: a.instance):
        missing = [image for image in app.images if image in absent_images]
        if missing:  # rule: everything is fetched before anything that runs is touched
            steps += [
                Pull(app.instance, image, cause=f"release {app.section.release[7:19]} needs it") for image in missing
            ]
            continue
        _plan_app(app, observed, steps, waiting)
    if not steps:  # only once nothing of an old app runs can its networks go
        steps += _networks_away(apps, observed)
    return Plan(tuple(steps), tuple(waiting))


def _plan_app(app: Wanted, observed: Observed, steps: list[Step], waiting: list[Waiting]) -> None:
    seen: dict[str, list[Container]] = {}
    for container in observed.containers:
        if container.instance == app.instance:
            seen.setdefault(container.service, []).append(container)
    removed = _stale_away(app, seen, steps)
    if _resources(app, observed, steps) == "wait":
        return
    if removed:
        return  # names and ports are free only after the removals: make the rest from what is seen then
    edges = {name: tuple(c.spec.depends_on) for name, c in app.containers.items()}
    for name in TopologicalSorter({k: [d for d in v if d in edges] for k, v in sorted(edges.items())}).static_order():
        _plan_service(app.containers[name], seen, steps, waiting)


def _stale_away(app: Wanted, seen: Mapping[str, list[Container]], steps: list[Step]) -> bool:
    before = len(steps)
    for service, containers in sorted(seen.items()):
        want = app.containers.get(service)
        keep = _kept(want, containers)
        for container in sorted(containers, key=lambda c: c.id):
            if container is keep:
                continue
            grace_s = 10 if want is None else -(-want.spec.stop_grace_ms // 1000)
            if want is None:
                cause = "the release has no such service"
            elif keep is not None:
                cause = "a second container of the service"
            else:
                cause = f"made from {container.hash[7:19]}, wanted {want.hash[7:19]}"
            steps += _away(container, grace_s=grace_s, cause=cause)
    return len(steps) > before


def _kept(want: WantedContainer | None, containers: Sequence[Container]) -> Container | None:
    """Return the one container that already is what is wanted: running before stopped, then by id."""
    if want is None:
        return None
    fitting = [container for container in containers if container.hash == want.hash]
    return min(fitting, key=lambda c: (c.state != "running", c.id), default=None)


def _away(container: Container, *, grace_s: int, cause: str) -> list[Step]:
    if container.state == "running":
        return [Stop(container, grace_s, cause), Remove(container, cause)]
    return [Remove(container, cause)]


def _resources(app: Wanted, observed: Observed, steps: list[Step]) -> str:
    """Plan networks and volumes; return `wait` when a network must first be made anew without its containers."""
    by_name = {network.name: network for network in observed.networks}
    outcome = "go"
    for network in app.networks:
        have = by_name.get(network.name)
        if have is None:
            steps.append(CreateNetwork(network, cause="missing"))
        elif have.hash != network.hash:
            for container in observed.containers:
                if container.instance == app.instance and not _is_planned_away(container, steps):
                    steps += _away(container, grace_s=10, cause=f"its network {network.resource} is made anew")
            steps.append(RemoveNetwork(have, cause="its definition changed"))
            outcome = "wait"
    for volume in app.volumes:
        if volume.name not in observed.volumes:
            steps.append(CreateVolume(volume, cause="missing"))
    return outcome


def _is_planned_away(container: Container, steps: Sequence[Step]) -> bool:
    return any(isinstance(step, Remove) and step.container.id == container.id for step in steps)


def _plan_service(
    want: WantedContainer, seen: Mapping[str, list[Container]], steps: list[Step], waiting: list[Waiting]
) -> None:
    have = _kept(want, seen.get(want.service, []))
    if have is not None and have.state in ("running", "restarting"):
        return  # a crash loop is the engine's to slow down and the judge's to see
    if have is not None and have.state == "exited" and not _should_run_again(want):
        return
    blocked = blocking(want.spec.depends_on, seen)
    if blocked:
        waiting.append(Waiting(want.instance, want.service, blocked))
        return
    if have is None:
        steps.append(Create(want, cause="missing"))
    elif have.state == "created":
        steps.append(Start(have, cause="created, not yet started"))
    else:
        steps.append(Start(have, cause=f"ended with code {have.exit_code}, should run"))


def _should_run_again(want: WantedContainer) -> bool:
    """Return whether a container that ended is to be started by us: the engine's own restarts come first."""
    return want.spec.restart.policy in ("always", "unless-stopped")


def blocking(depends_on: Mapping[str, Dependency], seen: Mapping[str, Sequence[Container]]) -> str:
    """Return the first thing a service must still wait for, or an empty string."""
    for other, dependency in sorted(depends_on.items()):
        containers = seen.get(other, ())
        if not containers and not dependency.required:
            continue
        if not any(_fulfils(dependency.condition, container) for container in containers):
            return f"{other} is not {dependency.condition.removeprefix('service_').replace('_', ' ')}"
    return ""


def _fulfils(condition: str, container: Container) -> bool:
    if condition == "service_completed_successfully":
        return container.state == "exited" and container.exit_code == 0
    if condition == "service_healthy":
        return container.state == "running" and container.health == "healthy"
    return container.state == "running" or (container.state == "exited" and container.exit_code == 0)


def _networks_away(apps: Sequence[Wanted], observed: Observed) -> list[Step]:
    wanted_names = {network.name for app in apps for network in app.networks}
    used = {container.instance for container in observed.containers}
    live = {app.instance for app in apps}
    return [
        RemoveNetwork(network, cause="no app uses it")
        for network in sorted(observed.networks, key=lambda n: n.name)
        if network.name not in wanted_names and (network.instance in live or network.instance not in used)
    ]
