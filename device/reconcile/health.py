"""The judgement: does a release work? A pure function of what is wanted, what was observed and how long it took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from broker.appspec import Healthcheck, Service
from broker.messages import ServiceStatus
from device.engine.port import Container, WantedContainer
from device.reconcile.facts import UNKNOWN, Run, has_failed, switch_of, works
from device.reconcile.moves import hook_key
from device.reconcile.steps import Waiting
from device.reconcile.wanted import Wanted

CRASH_LOOP_S = 30.0  # a service may fall over until what it needs is up; longer than this it is broken
PATIENCE_S = 60.0  # for everything that no health check bounds: engines under load take long to start containers


@dataclass(frozen=True)
class Seen:
    """What was observed of one app, and what the judge must know besides."""

    containers: Sequence[Container] = ()
    runs: Mapping[str, Run] = field(default_factory=dict)
    image_checks: Mapping[str, Healthcheck | None] = field(default_factory=dict)  # of images, for services without one
    waiting: Sequence[Waiting] = ()
    stopped: frozenset[str] = frozenset()  # services that were stopped by request
    hooked: frozenset[str] = frozenset()
    going_back: bool = False


@dataclass(frozen=True)
class Verdict:
    """`message` names the first service that is not as it should be, and why. `paused`: the file asks to stop here."""

    state: Literal["pending", "good", "bad", "paused"]
    message: str
    services: tuple[ServiceStatus, ...]


def judge(app: Wanted, seen: Seen, *, elapsed_s: float) -> Verdict:
    """Return what became of `app`, `elapsed_s` after it last came forward."""
    causes = {item.slot: item.cause for item in seen.waiting}
    shown = {slot: _shown(want, seen.containers) for slot, want in app.containers.items()}
    services = tuple(
        _status(want, shown[slot], causes.get(slot, ""), seen) for slot, want in sorted(app.containers.items())
    )
    is_late = elapsed_s > gate_s(app, seen.image_checks)
    failed: dict[str, list[str]] = {}
    pending: list[str] = []
    for status, (_, want) in zip(services, sorted(app.containers.items()), strict=True):
        if want.service in seen.stopped:
            continue
        sentence = _sentence(want, status)
        if _has_failed(want, shown[want.slot], seen, elapsed_s=elapsed_s):
            failed.setdefault(want.service, []).append(sentence)
        elif not _is_good(want, shown[want.slot], seen):
            if is_late:
                failed.setdefault(want.service, []).append(f"{sentence} after {int(elapsed_s)} s")
            else:
                pending.append(sentence + _watched(want, shown[want.slot], seen))
    return _concluded(app, failed, pending, services, going_back=seen.going_back)


def _concluded(
    app: Wanted,
    failed: Mapping[str, Sequence[str]],
    pending: Sequence[str],
    services: tuple[ServiceStatus, ...],
    *,
    going_back: bool,
) -> Verdict:
    """Weigh the failures of each service by what its file says of failures."""
    borne: list[str] = []
    paused: list[str] = []
    for service, sentences in sorted(failed.items()):
        spec = app.section.spec.services[service]
        switch = switch_of(spec, going_back=going_back)
        if len(sentences) * 1_000_000 <= switch.max_failure_ppm * spec.replicas or switch.failure_action == "continue":
            borne.append(sentences[0])
        elif switch.failure_action == "pause":
            paused.append(sentences[0])
        else:
            return Verdict("bad", sentences[0], services)
    if paused:
        return Verdict("paused", paused[0], services)
    if pending:
        return Verdict("pending", pending[0], services)
    return Verdict("good", borne[0] if borne else "", services)


def soon_s(app: Wanted, seen: Seen) -> float | None:
    """Return after how many seconds a container may have run for long enough, where only time tells."""
    left = []
    for have in seen.containers:
        want = app.containers.get(have.slot)
        run = seen.runs.get(have.id, UNKNOWN)
        if want is None or have.hash != want.hash:
            continue
        switch = switch_of(want.spec, going_back=seen.going_back)
        waits_s = (switch.monitor_ms / 1000 - run.steady_s, switch.delay_ms / 1000 - run.steady_s)
        left += [wait_s for wait_s in waits_s if wait_s > 0 and have.state == "running" and have.health == "none"]
        left += [run.rests_s] if run.rests_s > 0 else []
    return min(left, default=None)


def gate_s(app: Wanted, image_checks: Mapping[str, Healthcheck | None] = {}) -> float:
    """Return how long the services together may take, each health check counted out to its last retry."""
    every = app.containers.values()
    checks = [c.spec.healthcheck if c.spec.healthcheck is not None else image_checks.get(c.image) for c in every]
    monitors = [switch_of(c.spec, going_back=False) for c in every]
    slowest_s = max((switch.monitor_ms + switch.delay_ms for switch in monitors), default=0) / 1000
    return PATIENCE_S + slowest_s + sum(_bound_s(check) for check in checks if check is not None)


def _bound_s(check: Healthcheck) -> float:
    if check.test[:1] == ("NONE",):
        return 0.0
    rounds = check.retries + 1
    return (check.start_period_ms + rounds * (check.interval_ms + check.timeout_ms)) / 1000


def _shown(want: WantedContainer, containers: Sequence[Container]) -> Container | None:
    """Return the container that stands for a slot: one made from what is wanted, else one that still runs there."""
    here = [container for container in containers if container.slot == want.slot]
    return min(here, key=lambda c: (c.hash != want.hash, c.state != "running", c.id), default=None)


def _status(want: WantedContainer, have: Container | None, cause: str, seen: Seen) -> ServiceStatus:
    reason = "stopped by request" if want.service in seen.stopped else cause
    if have is not None and have.hash != want.hash:
        reason = reason or "of another release"
    if have is None:
        state: Literal["waiting", "missing"] = "waiting" if cause else "missing"
        return ServiceStatus(name=want.service, index=want.index, state=state, image=want.image, reason=reason)
    run = seen.runs.get(have.id, UNKNOWN)
    return ServiceStatus(
        name=want.service,
        index=want.index,
        state=have.state,
        health=have.health,
        container=have.id[:12],
        image=want.image,
        exit_code=have.exit_code,
        reason=reason,
        restarts=run.restarts,
        started_at_ms=run.started_at_ms,
        digest=have.image.partition("@")[2],
    )


def _is_good(want: WantedContainer, have: Container | None, seen: Seen) -> bool:
    if have is None or have.hash != want.hash:
        return False
    if want.spec.post_start and hook_key(want) not in seen.hooked:
        return False
    monitor_s = switch_of(want.spec, going_back=seen.going_back).monitor_ms / 1000
    return works(have, want.spec, seen.runs.get(have.id, UNKNOWN), monitor_s=monitor_s)


def _has_failed(want: WantedContainer, have: Container | None, seen: Seen, *, elapsed_s: float) -> bool:
    if have is None or have.hash != want.hash:
        return False
    run = seen.runs.get(have.id, UNKNOWN)
    if has_failed(have, want.spec) or run.is_looping or run.rests_s > 0:
        return True
    return _falls(want.spec, have, run) and elapsed_s > CRASH_LOOP_S


def _falls(spec: Service, have: Container, run: Run) -> bool:
    """Return whether a container is in a crash loop: between two runs of it as well as at the beginning of one."""
    if have.state == "restarting":
        return True
    monitor_s = switch_of(spec, going_back=False).monitor_ms / 1000
    return have.state == "running" and run.restarts > 0 and run.steady_s < monitor_s and have.health != "healthy"


def _watched(want: WantedContainer, have: Container | None, seen: Seen) -> str:
    """Return what is said of a container of which nothing is wrong but that it has not run for long enough."""
    if have is None or have.hash != want.hash or have.state != "running" or have.health != "none":
        return ""
    if want.spec.post_start and hook_key(want) not in seen.hooked:
        return ", and its post_start hook has not run"
    return f", and watched for {switch_of(want.spec, going_back=seen.going_back).monitor_ms / 1000:g} s"


def _sentence(want: WantedContainer, status: ServiceStatus) -> str:
    what = f"service {want.slot} is {status.state}"
    if status.health != "none":
        what += f" and {status.health}"
    if status.state in ("exited", "restarting") and status.exit_code is not None:
        what += f" with code {status.exit_code}"
    if status.restarts:
        what += f" ({status.restarts} restarts)"
    return f"{what}: {status.reason}" if status.reason else what
