"""How long to wait before trying again: capped exponential backoff with full jitter, as a pure function."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Backoff:
    """Delays grow from `first_s` by doubling up to `max_s`; the caller brings the randomness."""

    first_s: float = 0.5
    max_s: float = 60.0

    def delay_s(self, attempt: int, jitter: float) -> float:
        """Return the wait before attempt number `attempt` (from 0), `jitter` uniform in [0, 1).

        Full jitter: a fleet that lost its broker at one instant comes back spread over the whole window.
        """
        ceiling = min(self.max_s, self.first_s * 2.0 ** min(attempt, 32))
        return ceiling * jitter
