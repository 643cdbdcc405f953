"""Arithmetic on numbered ranges, both ends included. Pure."""

from __future__ import annotations

from collections.abc import Iterable

Range = tuple[int, int]


def merged(ranges: Iterable[Range]) -> list[Range]:
    """Return the same numbers as sorted ranges that neither overlap nor touch."""
    result: list[Range] = []
    for first, last in sorted(ranges):
        if first > last:
            continue
        if result and first <= result[-1][1] + 1:
            result[-1] = (result[-1][0], max(result[-1][1], last))
        else:
            result.append((first, last))
    return result


def holes(covered: Iterable[Range], *, last: int) -> list[Range]:
    """Return the ranges of 1..`last` that `covered` leaves out."""
    result: list[Range] = []
    after = 0
    for low, high in merged(covered):
        if low > last:
            break
        if low > after + 1:
            result.append((after + 1, low - 1))
        after = max(after, high)
    if after < last:
        result.append((after + 1, last))
    return result
