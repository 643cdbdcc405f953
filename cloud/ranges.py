"""Which numbers of a stream are held: all up to one number, and at most 32 ranges above it. Pure.

Numbers begin at 1, so that 0 can say "nothing". Ranges are closed, sorted, apart from each other by at least one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from broker.errors import Refused
from broker.messages import RANGES_MAX

Range = tuple[int, int]


@dataclass(frozen=True)
class Held:
    """All numbers from 1 to `contiguous`, and those in `ranges`."""

    contiguous: int = 0
    ranges: tuple[Range, ...] = ()

    def add(self, first: int, last: int) -> Held:
        """Return what is held with [first, last] added; raise `Refused` (`too_many_ranges`) when it has no place."""
        assert 1 <= first <= last
        apart: list[Range] = []
        for low, high in ((1, self.contiguous), *self.ranges) if self.contiguous else self.ranges:
            if high + 1 < first or last + 1 < low:
                apart.append((low, high))
            else:
                first, last = min(first, low), max(last, high)
        merged = sorted([*apart, (first, last)])
        contiguous = merged.pop(0)[1] if merged[0][0] == 1 else 0
        if len(merged) > RANGES_MAX:
            raise Refused("too_many_ranges", f"more than {RANGES_MAX} ranges with holes between them")
        return Held(contiguous, tuple(merged))

    def missing(self, first: int, last: int) -> tuple[Range, ...]:
        """Return the parts of [first, last] that are not held, in order: none means that all of it is."""
        parts: list[Range] = []
        at = max(first, self.contiguous + 1)
        for low, high in self.ranges:
            if high < at:
                continue
            if low > last:
                break
            if at < low:
                parts.append((at, low - 1))
            at = high + 1
        if at <= last:
            parts.append((at, last))
        return tuple(parts)


NOTHING = Held()


def count(ranges: tuple[Range, ...]) -> int:
    """Return how many numbers are in ranges that do not overlap."""
    return sum(last - first + 1 for first, last in ranges)


def without(whole: Range, hole: Range) -> tuple[Range, ...]:
    """Return what is left of `whole` outside of `hole`."""
    first, last = whole
    low, high = hole
    if high < first or low > last:
        return (whole,)
    left = ((first, low - 1),) if first < low else ()
    right = ((high + 1, last),) if high < last else ()
    return left + right


def without_holes(whole: Range, holes: Sequence[Range]) -> list[Range]:
    """Return what is left of `whole` outside of holes, which are in order and do not overlap."""
    left = [whole]
    for low, high in holes:
        left += without(left.pop(), (low, high)) if left else ()
    return left
