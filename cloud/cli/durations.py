"""Durations as people type them, and as they read them. Pure."""

from __future__ import annotations

import datetime as dt
import re

from cloud.cli.errors import RequestRefused

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_PARTS = re.compile(r"([0-9]{1,9})([smhd])")
_WHOLE = re.compile(r"[0-9]{1,9}|([0-9]{1,9}[smhd])+")


def seconds_of(text: str) -> int:
    """Return the seconds that `90`, `90s`, `5m`, `1h30m` or `2d` stand for; refuse anything else."""
    text = text.strip().lower()
    if not _WHOLE.fullmatch(text):
        raise RequestRefused("bad_duration", f"{text[:40]!r} is not a duration", hint="write 90s, 5m, 1h30m or 2d")
    if text.isdigit():
        return int(text)
    return sum(int(number) * _UNITS_S[unit] for number, unit in _PARTS.findall(text))


def days_of(text: str) -> int:
    """Return the days that `90d` stands for; refuse anything else."""
    if not re.fullmatch("[1-9][0-9]{0,4}d", text):
        raise RequestRefused("bad_duration", f"{text[:40]!r} is no number of days", hint="write 90d, or forever")
    return int(text[:-1])


def moment_of(text: str, now_ms: int) -> int:
    """Return the milliseconds of 1970 of `2026-03-01T12:00Z`, or of so long ago as `2d` says; refuse anything else."""
    if _WHOLE.fullmatch(text.strip().lower()):
        return now_ms - seconds_of(text) * 1000
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        hint = "write 2026-03-01T12:00Z, with its zone, or 2d for two days ago"
        raise RequestRefused("bad_time", f"{text[:40]!r} is not a time", hint=hint)
    return int(found.timestamp() * 1000)


def ago(then_ms: int | None, now_ms: int) -> str:
    """Return how long ago something was, in its largest whole unit; clocks that disagree show `now`."""
    if not then_ms:
        return "never"
    seconds = (now_ms - then_ms) // 1000
    if seconds < 1:
        return "now"
    for unit, size_s in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size_s:
            return f"{seconds // size_s} {unit} ago"
    return f"{seconds} s ago"
