"""How long a lock still counts, measured on a clock that nobody sets. Pure.

A hold begins when the lock is first seen and ends when it is seen to be gone. A changed value starts its seconds anew,
but no hold outlasts the owner's maximum: what comes after it counts only once the lock was gone, or when nobody had
looked for so long that it is another one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from device.platform.lock_text import Wish

UNWATCHED_S = 60.0  # looks further apart than this do not show that the lock stood all the while


@dataclass(frozen=True)
class Hold:
    """A lock that was seen: `began` and `since` are when the hold and its present value were seen first."""

    value: str
    began: float
    since: float
    looked: float


def after_look(hold: Hold | None, wish: Wish | None, *, now: float) -> Hold | None:
    """Return what is known of a lock after a look at it, at the monotonic time `now`; None when there is none."""
    if wish is None:
        return None
    if hold is None or (hold.value != wish.value and now - hold.looked > UNWATCHED_S):
        return Hold(wish.value, now, now, now)
    if hold.value != wish.value:
        return Hold(wish.value, hold.began, now, now)
    return replace(hold, looked=now)


def remaining_s(hold: Hold, wish: Wish, *, max_s: float, now: float) -> float:
    """Return for how many seconds the lock still counts; 0 when it does no more."""
    return max(0.0, min(hold.since + wish.seconds, hold.began + max_s) - now)
