"""Link settings as people type and read them. Pure."""

from __future__ import annotations

import re

from cloud.cli.answers import Link
from cloud.cli.errors import RequestRefused
from cloud.cli.render import printable

SETTINGS = ("bytes_per_day", "bytes_per_window", "metered", "hours", "without_clock", "mirrors")
_BYTES = re.compile(r"([0-9]{1,12})([kKmMgG]?)(i?[bB])?")
_HOURS = re.compile(r"([0-9]{1,2})-([0-9]{1,2})")
_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
HOUR_MAX = 24


def bytes_of(text: str) -> int:
    """Return the bytes that `500`, `50M` or `2GiB` stand for; refuse anything else."""
    match = _BYTES.fullmatch(text.strip())
    if match is None:
        raise RequestRefused("bad_size", f"{text[:40]!r} is not a number of bytes", hint="write 500K, 50M or 2G")
    return int(match[1]) * _UNITS[match[2].lower()]


def hours_of(text: str) -> tuple[int, int]:
    """Return the hours that `22-6` stands for; refuse anything else."""
    match = _HOURS.fullmatch(text.strip())
    if match is None or int(match[1]) == int(match[2]) or max(int(match[1]), int(match[2])) > HOUR_MAX:
        raise RequestRefused("bad_hours", f"{text[:40]!r} is no stretch of hours", hint="write 22-6 or 0-5")
    return int(match[1]), int(match[2])


def link_lines(link: Link) -> list[str]:
    """Return what holds, a setting a line; where that comes from the fleet, the line says so."""
    holds = link.link if link.holds is None else link.holds
    lines = []
    for name in SETTINGS:
        if name not in holds:
            continue
        value = holds[name]
        from_fleet = "" if link.holds is None or name in link.link else "  (of its fleet)"
        lines.append(f"{name.replace('_', ' '):17} {_shown(name, value)}{from_fleet}")
    return lines or ["nothing is set: images come from the cloud's registry, as fast as they can"]


def _shown(name: str, value: object) -> str:
    if name == "hours" and isinstance(value, list):
        return ", ".join(f"{start}-{end}" for start, end in value) + " UTC"
    if isinstance(value, list):
        return printable(" ".join(str(each) for each in value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return printable(str(value))
