"""How long to wait before trying again: capped exponential backoff with full jitter. Pure but for what is counted."""

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


STANDING_S = 30.0  # a connection that stood so long shows that nothing is wrong with connecting


@dataclass
class Reconnecting:
    """Waits between the connections of one session. A connection that stood only briefly counts as a failure.

    Being taken over means that another machine or process connects under the same name, and would be taken over in
    its turn: then each waits for minutes, so that both are heard at least in between.
    """

    backoff: Backoff
    taken_over: Backoff
    failures: int = 0
    takeovers: int = 0

    def wait_s(self, *, stood_s: float, taken_over: bool, jitter: float) -> float:
        """Return the wait after a connection that stood for `stood_s`, 0 for one that was never up."""
        if taken_over:
            self.takeovers += 1
            return self.taken_over.delay_s(self.takeovers - 1, 0.5 + jitter / 2)
        if stood_s >= STANDING_S:
            self.failures = self.takeovers = 0
        else:
            self.failures += 1
        return self.backoff.delay_s(self.failures, jitter)
