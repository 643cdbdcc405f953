"""What the link policy allows now: how many bytes, or why none and until when. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict

from broker.errors import Waiting
from broker.messages import LinkPolicy

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
WITHOUT_CLOCK_S = 86_400.0  # a day, where nobody knows which
MIB = 1024 * 1024


class Used(BaseModel):
    """What was used of the budgets: of which day (of UTC, since 1970), of which window (its begin)."""

    model_config = ConfigDict(frozen=True)

    day: int | None = None  # None: counted while nobody knew the time
    day_bytes: int = 0
    window_ms: int | None = None
    window_bytes: int = 0


@dataclass(frozen=True)
class Window:
    """A stretch of time in which images may come."""

    start_ms: int
    end_ms: int


def rolled(used: Used, link: LinkPolicy, now_ms: int | None, *, counted_for_s: float) -> Used:
    """Return the counters for now: a new day or window begins at nothing, a clock that goes back resets nothing."""
    if now_ms is None:
        return used if counted_for_s < WITHOUT_CLOCK_S else Used()
    day = now_ms // DAY_MS
    if used.day is None:
        used = used.model_copy(update={"day": day})
    elif day > used.day:
        used = used.model_copy(update={"day": day, "day_bytes": 0})
    window = _window(link, now_ms)
    if window is not None and window.start_ms > (used.window_ms or 0):
        used = used.model_copy(update={"window_ms": window.start_ms, "window_bytes": 0})
    return used


def allowed(link: LinkPolicy, used: Used, now_ms: int | None) -> int | None:
    """Return how many bytes may come now, None for any number; raise `Waiting` where none may.

    While the time is unknown hours count for nothing, or for never, as the policy says; the budget counts all the same.
    """
    if link.hours and now_ms is None and link.without_clock == "closed":
        raise Waiting("link_clock", "images wait until the device knows the time, as its link policy asks")
    if link.hours and now_ms is not None and _window(link, now_ms) is None:
        raise Waiting("link_hours", f"images wait for the hours of the link policy, until {_text(_next(link, now_ms))}")
    if link.metered and link.bytes_per_day is None and link.bytes_per_window is None:
        raise Waiting(
            "link_metered", "the link is metered and has no budget: images come from mirrors or bundles alone"
        )
    left: list[int] = []
    if link.bytes_per_day is not None:
        left.append(link.bytes_per_day - used.day_bytes)
        if left[-1] <= 0:
            midnight = None if now_ms is None else _text((now_ms // DAY_MS + 1) * DAY_MS)
            until = midnight or "it has run for a day, or knows the time"
            raise Waiting(
                "link_budget", f"the link budget of {_size(link.bytes_per_day)} a day is used up until {until}"
            )
    if link.bytes_per_window is not None and link.hours and now_ms is not None:
        left.append(link.bytes_per_window - used.window_bytes)
        if left[-1] <= 0:
            budget, until = _size(link.bytes_per_window), _text(_next(link, now_ms))
            raise Waiting("link_budget", f"the link budget of {budget} a window is used up until {until}")
    return min(left) if left else None


def charged(used: Used, count: int) -> Used:
    """Return the counters after so many bytes more, or less."""
    return used.model_copy(
        update={
            "day_bytes": max(0, used.day_bytes + count),
            "window_bytes": max(0, used.window_bytes + count),
        }
    )


def _windows(link: LinkPolicy, now_ms: int) -> list[Window]:
    """Return the stretches that begin yesterday, today and tomorrow, in order; those that touch are one."""
    today = now_ms // DAY_MS * DAY_MS
    found = []
    for midnight in (today - DAY_MS, today, today + DAY_MS):
        for start, end in link.hours:
            length = (end - start) % 24 or 24
            begin = midnight + start * HOUR_MS
            found.append(Window(begin, begin + length * HOUR_MS))
    joined: list[Window] = []
    for window in sorted(found, key=lambda one: (one.start_ms, one.end_ms)):
        if joined and window.start_ms <= joined[-1].end_ms:
            joined[-1] = replace(joined[-1], end_ms=max(joined[-1].end_ms, window.end_ms))
        else:
            joined.append(window)
    return joined


def _window(link: LinkPolicy, now_ms: int) -> Window | None:
    return next((one for one in _windows(link, now_ms) if one.start_ms <= now_ms < one.end_ms), None)


def _next(link: LinkPolicy, now_ms: int) -> int:
    later = [one.start_ms for one in _windows(link, now_ms) if one.start_ms > now_ms]
    return min(later, default=(now_ms // DAY_MS + 1) * DAY_MS)


def _text(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"


def _size(count: int) -> str:
    return f"{count // MIB} MiB" if count >= MIB else f"{count} bytes"
