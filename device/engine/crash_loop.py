"""When a container that ends again and again is held back, for an engine that restarts at once and for ever. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

FREE = 3  # restarts that are the engine's alone
STABLE_S = 10.0  # whoever has run as long has recovered
PAUSE_S_MAX = 300.0


@dataclass(frozen=True)
class Loop:
    """One container's restarts. Times are seconds of any monotonic clock."""

    before: int = 0  # restarts that the engine forgot when we started the container again
    forgiven: int = 0  # of those that the engine tells now
    holds: int = 0  # in a row
    resume_at: float | None = None

    @property
    def is_held(self) -> bool:
        return self.resume_at is not None


def is_looping(loop: Loop, *, restarts: int) -> bool:
    """Return whether the container shall be held, given the engine's own count."""
    return not loop.is_held and restarts - loop.forgiven >= (1 if loop.holds else FREE)


def hold(loop: Loop, *, restarts: int, retries_max: int | None, now: float) -> Loop:
    """Return the loop of a container that is stopped now, and is started again after a growing pause.

    `retries_max`: of a policy that gives up; then it stays as it is.
    """
    has_ended = retries_max is not None and loop.before + restarts >= retries_max
    pause_s = min(PAUSE_S_MAX, 2.0**loop.holds)
    return replace(loop, forgiven=restarts, holds=loop.holds + 1, resume_at=None if has_ended else now + pause_s)


def resume(loop: Loop, *, restarts: int) -> Loop:
    """Return the loop of a container that is being started again: that is one more restart."""
    return replace(loop, before=loop.before + restarts + 1, forgiven=0, resume_at=None)


def recovered(loop: Loop, *, restarts: int) -> Loop:
    """Return the loop of a container that has run long enough."""
    return Loop(before=loop.before, forgiven=restarts)
