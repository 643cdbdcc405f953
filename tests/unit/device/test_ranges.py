"""Arithmetic on ranges, against sets of numbers."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from device.telemetry.ranges import Range, holes, merged

ranges = st.lists(st.tuples(st.integers(1, 30), st.integers(0, 33)), max_size=6)


def numbers(some: list[Range]) -> set[int]:
    return {n for first, last in some for n in range(first, last + 1)}


@settings(deadline=None, max_examples=60)
@given(ranges)
def test_merging_keeps_the_numbers_and_nothing_touches(some: list[Range]) -> None:
    result = merged(some)
    assert numbers(result) == numbers(some)
    assert all(first <= last for first, last in result)
    assert all(one[1] + 1 < other[0] for one, other in itertools.pairwise(result))


@settings(deadline=None, max_examples=60)
@given(ranges, st.integers(0, 33))
def test_holes_are_what_is_left_out_up_to_the_last_number(some: list[Range], last: int) -> None:
    result = holes(some, last=last)
    assert numbers(result) == set(range(1, last + 1)) - numbers(some)
    assert result == merged(result)


def test_huge_ranges_cost_no_more_than_small_ones() -> None:
    assert holes([(1, 2**62), (2**62 + 2, 2**63)], last=2**63 + 5) == [(2**62 + 1, 2**62 + 1), (2**63 + 1, 2**63 + 5)]
