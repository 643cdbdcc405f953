"""The judgement: does a release work? A pure function of what is wanted, what was observed and how long it took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from broker.appspec import Healthcheck, Service
from broker.messages import ServiceStatus
from device.engine.port import Container, Observed, WantedContainer
from device.reconcile.steps import Waiting
from device.reconcile.wanted import Wanted

CRASH_LOOP_S = 30.0  # a service may fall over until what it needs is up; longer than this it is broken
PATIENCE_S = 60.0  # for everything that no health check bounds: engines under load take long to start containers


@dataclass(frozen=True)
class Verdict:
    """`message` names the first service that is not as it should be, and why."""

    state: Literal["updating", "converged", "failed"]
    message: str
    services: tuple[ServiceStatus, ...]


def judge(app: Wanted, observed: Observed, waiting: Sequence[Waiting], *, elapsed_s: float) -> Verdict:
    """Return what became of `app`, `elapsed_s` after its last container was touched."""
    causes = {item.service: item.cause for item in waiting if item.instance == app.instance}
    seen = {
        container.service: container
        for container in observed.containers
        if container.instance == app.instance
        and container.service in app.containers
        and container.hash == app.containers[container.service].hash
    }
    services = tuple(
        _status(want, seen.get(name), causes.get(name, "")) for name, want in sorted(app.containers.items())
    )
    failed = [
        status
        for status in services
        if _has_failed(app.containers[status.name].spec, status)
        or (status.state == "restarting" and elapsed_s > CRASH_LOOP_S)
    ]
    if failed:
        return Verdict("failed", _sentence(failed[0]), services)
    pending = [status for status in services if not _is_good(app.containers[status.name].spec, status)]
    if not pending:
        return Verdict("converged", "", services)
    if elapsed_s > gate_s(app):
        return Verdict("failed", f"{_sentence(pending[0])} after {int(elapsed_s)} s", services)
    return Verdict("updating", _sentence(pending[0]), services)


def gate_s(app: Wanted) -> float:
    """Return how long the services together may take, each health check counted out to its last retry."""
    checks = [container.spec.healthcheck for container in app.containers.values()]
    return PATIENCE_S + sum(_bound_s(check) for check in checks if check is not None)


def _bound_s(check: Healthcheck) -> float:
    rounds = check.retries + 1
    return (check.start_period_ms + rounds * (check.interval_ms + check.timeout_ms)) / 1000


def _status(want: WantedContainer, have: Container | None, cause: str) -> ServiceStatus:
    if have is None:
        return ServiceStatus(name=want.service, state="waiting" if cause else "missing", image=want.image, reason=cause)
    return ServiceStatus(
        name=want.service,
        state=have.state,
        health=have.health,
        container=have.id[:12],
        image=want.image,
        exit_code=have.exit_code,
        reason=cause,
    )


def _is_good(spec: Service, status: ServiceStatus) -> bool:
    if status.state == "exited":
        return status.exit_code == 0 and spec.restart.policy in ("no", "on-failure")
    if status.state != "running":
        return False
    return status.health in ("healthy", "none")


def _has_failed(spec: Service, status: ServiceStatus) -> bool:
    if status.health == "unhealthy":
        return True
    return status.state == "exited" and status.exit_code != 0 and spec.restart.policy in ("no", "on-failure")


def _sentence(status: ServiceStatus) -> str:
    what = f"service {status.name} is {status.state}"
    if status.health not in ("none",):
        what += f" and {status.health}"
    if status.state in ("exited", "restarting") and status.exit_code is not None:
        what += f" with code {status.exit_code}"
    return f"{what}: {status.reason}" if status.reason else what
