"""What a container shows of its service. Pure predicates that planning and judging share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from broker.appspec import Service, Switch
from device.engine.port import Container, Observed

MAY_END = ("no", "on-failure")  # the restart policies under which a service may have done its work


@dataclass(frozen=True)
class Run:
    """What is known of one container beyond what a list shows."""

    steady_s: float = 0.0  # for how long it has run without interruption, by our own clock
    restarts: int = 0  # by the engine, since it was made or started by us
    started_at_ms: int | None = None  # by the engine's clock: it tells two runs apart and is good for nothing else
    rests_s: float = 0.0  # it crashes again and again: not to be started for so long
    is_looping: bool = False  # it crashes faster than any engine's backoff would let it


UNKNOWN = Run()


@dataclass(frozen=True)
class Snapshot:
    """What the engine showed, and what is known of how its containers have run."""

    observed: Observed = field(default_factory=Observed)
    runs: Mapping[str, Run] = field(default_factory=dict)
    now: float = 0.0


def switch_of(spec: Service, *, going_back: bool) -> Switch:
    """Return how a service is to be replaced: by a newer release, or by the one that worked."""
    return (spec.rollback if going_back else spec.update) or Switch()


def has_ended(container: Container, spec: Service) -> bool:
    """Return whether a container has ended for good: its policy lets it, and the end was its own or is final anyway."""
    if container.state != "exited" or spec.restart.policy not in MAY_END:
        return False
    return not (container.was_cut_off and spec.restart.policy == "on-failure")  # Docker itself starts such a one again


def works(container: Container, spec: Service, run: Run, *, monitor_s: float) -> bool:
    """Return whether a container does what is asked: healthy, steady where nothing checks it, or ended well."""
    if container.state == "exited":
        return container.exit_code == 0 and has_ended(container, spec)
    if container.state != "running":
        return False
    return container.health == "healthy" if container.health != "none" else run.steady_s >= monitor_s


def has_failed(container: Container, spec: Service) -> bool:
    """Return whether nothing is to be waited for any more."""
    if container.health == "unhealthy":
        return True
    return has_ended(container, spec) and container.exit_code != 0


def is_up(container: Container) -> bool:
    """Return whether a container has started, as `service_started` asks: it runs, or has run to a good end."""
    return container.state == "running" or (container.state == "exited" and container.exit_code == 0)
