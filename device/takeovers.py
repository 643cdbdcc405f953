"""Takeovers: how often another machine or process has ended our connection by connecting under our identity."""

from __future__ import annotations

import threading

from broker.clock import Clock
from broker.messages import Condition

CALM_S = 1800.0  # two that wait for minutes between their connections are not told apart from one any sooner


class Takeovers:
    """Counts them from the session's thread; any thread may ask for the condition."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._count = 0
        self._last_s = 0.0

    def taken(self) -> Condition:
        """Count one, and return what to report."""
        with self._lock:
            self._count += 1
            self._last_s = self._clock.monotonic()
        return _condition(self._count)

    def calm(self) -> Condition | None:
        """Return what to report when the last one is so long ago that it is over; None when there is no news."""
        with self._lock:
            if not self._count or self._clock.monotonic() - self._last_s < CALM_S:
                return None
            self._count = 0
        return _condition(0)


def _condition(count: int) -> Condition:
    if count == 0:
        return Condition(type="IdentityTakenOver", status=False)
    times = "once" if count == 1 else f"{count} times"
    return Condition(
        type="IdentityTakenOver",
        status=True,
        reason="taken_over",
        message=f"another machine or worker has connected with this device's identity, {times} so far",
    )
