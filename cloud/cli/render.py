"""What people and programs read: tables, times, one JSON document. Text from devices is made harmless to terminals."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime

GAP = "  "
DIGEST_CHARS = 19  # "sha256:" and twelve digits: enough to tell releases apart, short enough for a table


def printable(text: str) -> str:
    """Return `text` on one line, without anything a terminal would obey."""
    return "".join(char if char.isprintable() else " " if char in "\t\r\n" else "?" for char in text)


def table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Return aligned lines, headers first; only the headers when there are no rows."""
    cells = [list(headers), *([printable("-" if cell in (None, "") else str(cell)) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headers))]
    return [GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def short(digest: str | None) -> str:
    return (digest or "-")[:DIGEST_CHARS]


def moment(at_ms: int | None) -> str:
    """Return a date and time in this machine's zone."""
    if not at_ms:
        return "-"
    return f"{datetime.fromtimestamp(at_ms / 1000, tz=UTC).astimezone():%Y-%m-%d %H:%M:%S}"


def say(*lines: str) -> None:
    """Print lines to standard output."""
    for line in lines:
        print(line)


def say_now(line: str) -> None:
    """Print a line that somebody is waiting for."""
    print(line, flush=True)


def note(line: str) -> None:
    """Print a line that is not the result: to standard error, so that results can be piped."""
    print(printable(line), file=sys.stderr, flush=True)


def say_json(document: object) -> None:
    """Print one JSON document on one line; everything but ASCII is escaped, so it is harmless to terminals."""
    print(json.dumps(document), flush=True)
