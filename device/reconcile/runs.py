"""How each container has run while we looked: for how long without a break, how often it fell, whether it should rest.

Time is our own monotonic clock's. What an engine says of times only tells one run from the next. A crash loop is the
engine's to slow down, as long as it does: where restarts come faster than any backoff lets them, the container is
stopped and started again after pauses that grow to `REST_MAX_S`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from device.engine.port import Container, Details
from device.reconcile.facts import Run

CALM_S = 60.0  # a run this long forgets the falls before it
FALLS_MAX = 12  # in one calm time; an engine that doubles its pauses from 100 ms gets to ten
REST_FIRST_S = 10.0
REST_MAX_S = 300.0


@dataclass
class _Known:
    """What is remembered of one container."""

    state: str = ""
    details: Details | None = None
    since: float = 0.0  # when its present run began, or when we first saw it
    falls: list[float] = field(default_factory=list)
    rests: int = 0
    rests_until: float = 0.0


class Runs:
    """The memory of the reconcile thread about containers; a restart of the worker begins it anew."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}

    def look(
        self,
        containers: Sequence[Container],
        details_of: Callable[[str], Details | None],
        *,
        now: float,
        closely: Callable[[Container], bool],
    ) -> tuple[tuple[Container, ...], Mapping[str, Run]]:
        """Take a list in; return it as inspections show it now, and what is known of each container.

        Inspects those that changed, and those of `closely`. `details_of` returns None for a container that is gone.
        """
        self._known = {c.id: self._known.get(c.id, _Known()) for c in containers}
        shown: list[Container] = []
        for listed in containers:
            known, container = self._known[listed.id], listed
            changed = known.state != listed.state or known.details is None
            if listed.state != "created" and (changed or closely(listed)):
                details = details_of(listed.id)
                container = _newest(listed, details)
                self._inspected(known, container, details, now)
            known.state = container.state
            shown.append(container)
        return tuple(shown), {container.id: self._run(container, now) for container in shown}

    def _inspected(self, known: _Known, container: Container, details: Details | None, now: float) -> None:
        before = known.details
        is_new_run = details is not None and before is not None and before.started_at_ms != details.started_at_ms
        if before is not None and details is not None:
            fell = details.restarts > before.restarts  # Podman counts a restart only when it is done: not twice
        else:
            fell = container.state == "restarting" and known.state == "running"
        if container.state == "running" and (known.state != "running" or is_new_run):
            known.since = now
        if fell:
            count = max(1, details.restarts - before.restarts if details is not None and before is not None else 1)
            known.falls = [*known.falls, *[now] * count][-FALLS_MAX:]
        if details is not None:
            known.details = details

    def _run(self, container: Container, now: float) -> Run:
        known = self._known[container.id]
        steady_s = now - known.since if container.state == "running" else 0.0
        if steady_s >= CALM_S:
            known.falls, known.rests = [], 0
        is_looping = len(known.falls) >= FALLS_MAX and now - known.falls[0] <= CALM_S
        is_looping = is_looping or (known.rests > 0 and bool(known.falls) and known.falls[-1] > known.rests_until)
        details = known.details
        return Run(
            steady_s=steady_s,
            restarts=details.restarts if details is not None else 0,
            started_at_ms=details.started_at_ms if details is not None else None,
            rests_s=max(0.0, known.rests_until - now),
            is_looping=is_looping and container.state in ("running", "restarting"),
        )

    def rest(self, container_id: str, now: float) -> float:
        """Note that a container was stopped because it loops; return for how long it rests."""
        known = self._known.setdefault(container_id, _Known())
        pause_s = min(REST_MAX_S, REST_FIRST_S * 2.0 ** min(known.rests, 16))
        known.rests += 1
        known.rests_until = now + pause_s
        known.falls = []
        return pause_s

    def wake(self) -> None:
        """Let everything that rests be tried at once."""
        for known in self._known.values():
            known.rests_until = 0.0


def _newest(container: Container, details: Details | None) -> Container:
    """Return a container that was listed as running as a later inspection shows it."""
    if details is None or details.state in (None, container.state) or container.state != "running":
        return container
    return replace(container, state=details.state, health="none", exit_code=details.exit_code)
