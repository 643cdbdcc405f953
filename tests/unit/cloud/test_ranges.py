"""Which numbers are held."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import Refused
from broker.messages import RANGES_MAX
from cloud.ranges import Held, count, without

SMALL = st.integers(min_value=1, max_value=60)
RANGES = st.lists(st.tuples(SMALL, SMALL).map(lambda pair: (min(pair), max(pair))), max_size=20)


def numbers(held: Held) -> set[int]:
    found = set(range(1, held.contiguous + 1))
    for first, last in held.ranges:
        found |= set(range(first, last + 1))
    return found


def added(ranges: list[tuple[int, int]]) -> Held:
    held = Held()
    for first, last in ranges:
        held = held.add(first, last)
    return held


@given(RANGES)
def test_what_is_held_is_exactly_what_was_added(ranges: list[tuple[int, int]]) -> None:
    assert numbers(added(ranges)) == {n for first, last in ranges for n in range(first, last + 1)}


@given(RANGES, st.randoms(use_true_random=False))
def test_the_order_of_arrival_makes_no_difference(ranges: list[tuple[int, int]], random: object) -> None:
    shuffled = sorted(ranges, key=lambda _range: random.random())  # type: ignore[attr-defined]  # hypothesis' Random
    assert added(shuffled) == added(ranges)


@given(RANGES)
def test_ranges_are_sorted_apart_and_above_the_contiguous_part(ranges: list[tuple[int, int]]) -> None:
    held = added(ranges)
    edge = held.contiguous if held.contiguous else -1
    for first, last in held.ranges:
        assert first > edge + 1
        assert first <= last
        edge = last
    assert held.ranges == () or held.ranges[0][0] > 1


@given(RANGES, SMALL, SMALL)
def test_missing_and_held_are_the_whole(ranges: list[tuple[int, int]], one: int, other: int) -> None:
    held, first, last = added(ranges), min(one, other), max(one, other)
    missing = {n for low, high in held.missing(first, last) for n in range(low, high + 1)}
    assert missing == set(range(first, last + 1)) - numbers(held)


def test_a_duplicate_has_nothing_missing_and_an_overlap_something() -> None:
    held = Held(10, ((15, 20),))
    assert held.missing(3, 10) == ()
    assert held.missing(16, 20) == ()
    assert held.missing(8, 12) == ((11, 12),)
    assert held.missing(8, 25) == ((11, 14), (21, 25))


def test_a_range_without_a_place_is_refused_and_one_that_closes_a_hole_is_not() -> None:
    held = added([(10 * n, 10 * n) for n in range(1, RANGES_MAX + 1)])
    with pytest.raises(Refused) as refused:
        held.add(9999, 9999)
    assert refused.value.reason == "too_many_ranges"
    assert held.add(11, 19).ranges[0] == (10, 20)
    assert held.add(1, 9).contiguous == 10


@given(st.tuples(SMALL, SMALL), st.tuples(SMALL, SMALL))
def test_without_leaves_what_is_outside_of_the_hole(whole: tuple[int, int], hole: tuple[int, int]) -> None:
    first, last = sorted(whole)
    low, high = sorted(hole)
    left = {n for a, b in without((first, last), (low, high)) for n in range(a, b + 1)}
    assert left == set(range(first, last + 1)) - set(range(low, high + 1))
    assert count(without((first, last), (low, high))) == len(left)
