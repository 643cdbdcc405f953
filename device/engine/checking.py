"""Whether a service is healthy, by how its probes end: Docker's rules, for an engine without timers. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from broker.appspec import Healthcheck
from device.engine.port import Health


@dataclass(frozen=True)
class Checking:
    """One container's health since its last start. Times are seconds of any monotonic clock."""

    began_at: float
    due_at: float
    health: Health = "starting"
    failures: int = 0  # in a row


def begin(check: Healthcheck, *, began_at: float, now: float) -> Checking:
    """Return what is known of a container that started at `began_at`, maybe long before anybody looked."""
    return Checking(began_at=began_at, due_at=max(now, began_at + _pause_s(check, "starting", 0.0)))


def probed(check: Healthcheck, so_far: Checking, *, ok: bool, now: float) -> Checking:
    """Return what is known after another probe. Failures while a service may still be starting do not count."""
    age_s = now - so_far.began_at
    if ok:
        health: Health = "healthy"
        failures = 0
    elif so_far.health == "starting" and age_s < check.start_period_ms / 1000:
        health, failures = "starting", 0
    else:
        failures = so_far.failures + 1
        health = "unhealthy" if failures >= (check.retries or 1) else so_far.health
    return replace(so_far, health=health, failures=failures, due_at=now + _pause_s(check, health, age_s))


def told(check: Healthcheck, so_far: Checking, health: Health, *, now: float) -> Checking:
    """Return what an engine knows that probes by itself."""
    return replace(so_far, health=health, due_at=now + _pause_s(check, health, now - so_far.began_at))


def _pause_s(check: Healthcheck, health: Health, age_s: float) -> float:
    is_starting = health == "starting" and age_s < check.start_period_ms / 1000
    if is_starting and check.start_interval_ms is not None:
        return check.start_interval_ms / 1000
    return check.interval_ms / 1000
