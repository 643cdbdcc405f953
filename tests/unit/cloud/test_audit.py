"""What an audit finds: every number is in one kind, and nothing hides in between."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cloud.audit import Rows, audited, totals
from cloud.ranges import Range, count

STREAM = ("telemetry:hello", 3)


def test_what_is_stored_or_named_as_lost_is_complete() -> None:
    rows = Rows(batches=[(1, 10, ((4, 5),)), (13, 20, ())], gaps=[(4, 5, "trimmed_by_app"), (11, 12, "dropped_oldest")])
    found = audited(*STREAM, rows, acked=[(1, 20)], kept_to=20)
    assert found.complete
    assert found.stored == ((1, 3), (6, 10), (13, 20))
    assert found.lost == {"trimmed_by_app": ((4, 5),), "dropped_oldest": ((11, 12),)}
    assert totals([found]) == {
        "stored": 16,
        "lost": 4,
        "missing": 0,
        "twice": 0,
        "unkept": 0,
        "waiting": 0,
        "expired": 0,
    }


def test_a_hole_is_missing_and_what_lies_above_all_rows_waits() -> None:
    found = audited(*STREAM, Rows(batches=[(3, 5, ()), (8, 9, ())], gaps=[]), acked=[(3, 5), (8, 9)], kept_to=12)
    assert (found.missing, found.waiting, found.complete) == (((1, 2), (6, 7)), ((10, 12),), False)


def test_a_number_in_two_rows_is_found() -> None:
    found = audited(*STREAM, Rows(batches=[(1, 5, ()), (5, 6, ())], gaps=[(6, 7, "thinned")]), acked=[], kept_to=0)
    assert (found.twice, found.complete) == (((5, 5), (6, 6)), False)


def test_what_was_acknowledged_without_a_row_is_found() -> None:
    found = audited(*STREAM, Rows(batches=[(1, 5, ())], gaps=[]), acked=[(1, 9)], kept_to=9)
    assert (found.unkept, found.complete) == (((6, 9),), False)
    lost_inside = audited(*STREAM, Rows(batches=[(5, 9, ())], gaps=[]), acked=[(1, 9)], kept_to=9)
    assert (lost_inside.missing, lost_inside.complete) == (((1, 4),), False)


def test_nothing_at_all_is_complete() -> None:
    assert audited(*STREAM, Rows([], []), acked=[], kept_to=0).complete


numbers = st.sets(st.integers(min_value=1, max_value=40))


@given(stored=numbers, lost=numbers)
def test_every_number_up_to_the_last_is_in_one_kind(stored: set[int], lost: set[int]) -> None:
    rows = Rows(batches=[(n, n, ()) for n in sorted(stored)], gaps=[(n, n, "thinned") for n in sorted(lost)])
    found = audited(*STREAM, rows, acked=[], kept_to=0)
    last = max(stored | lost, default=0)
    assert expanded(found.missing) == set(range(1, last + 1)) - stored - lost
    assert expanded(found.twice) == stored & lost
    assert (expanded(found.stored), count(found.stored)) == (stored, len(stored))


def expanded(ranges: tuple[Range, ...]) -> set[int]:
    return {n for first, last in ranges for n in range(first, last + 1)}
