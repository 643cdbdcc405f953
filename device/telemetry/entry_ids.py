"""Ids of a Redis stream's entries, `MILLISECONDS-SEQUENCE`: two unsigned 64-bit numbers that apps may choose. Pure."""

from __future__ import annotations

PART_MAX = 2**64 - 1
FIRST = "0-0"  # smaller than every entry's id
LAST = f"{PART_MAX}-{PART_MAX}"  # an entry with this id is the last one that its stream ever takes


def order(entry_id: str) -> tuple[int, int]:
    """Return what ids are compared by: as texts they do not sort."""
    milliseconds, _, sequence = entry_id.partition("-")
    return int(milliseconds), int(sequence)


def following(entry_id: str) -> str:
    """Return the smallest id above this one; nothing is above `LAST`."""
    milliseconds, sequence = order(entry_id)
    assert entry_id != LAST
    return f"{milliseconds + 1}-0" if sequence == PART_MAX else f"{milliseconds}-{sequence + 1}"
