"""What an app writes to say "not now": from its bytes to a wish, with limits. Pure.

A file, and the value of a Redis key, hold lines `NAME=VALUE`: owner, reason, seconds. Whatever else stands there is
ignored, and what is missing has a default: an empty file is a lock as well.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

FIELDS = ("owner", "reason", "seconds")
BYTES_MAX = 4096  # that are read
CHARS_MAX = 200
SECONDS_DEFAULT = 3600.0
_UNFIT = re.compile(r"[^ -~\u00a1-\U0010ffff]+")  # control characters, also those of terminals, and what was no UTF-8


@dataclass(frozen=True)
class Wish:
    """What the app asks for. `value` is told from another one by being different, not by what it says."""

    owner: str
    reason: str
    seconds: float
    value: str


def wish_of(content: bytes, *, identity: str) -> Wish:
    """Return the wish that `content` states; `identity` tells one writing of the same content from another."""
    found: dict[str, bytes] = {}
    for line in content[:BYTES_MAX].splitlines():
        name, is_pair, value = line.partition(b"=")
        key = name.strip().decode(errors="replace")
        if is_pair and key in FIELDS:
            found.setdefault(key, value.strip())
    return Wish(
        owner=_clean(found.get("owner", b"")) or "app",
        reason=_clean(found.get("reason", b"")),
        seconds=_seconds(found.get("seconds", b"")),
        value=f"{identity} {content[:BYTES_MAX]!r}",
    )


def _clean(text: bytes) -> str:
    readable = _UNFIT.sub(" ", text[:BYTES_MAX].decode(errors="ignore"))
    return " ".join(readable.split())[:CHARS_MAX]


def _seconds(text: bytes) -> float:
    if not re.fullmatch(rb"[0-9]{1,9}(\.[0-9]{1,6})?", text):
        return SECONDS_DEFAULT
    return float(text)
