"""Which numbers a batch holds."""

from __future__ import annotations

import pytest

from broker.errors import Refused
from cloud.ingest.batch import Parts, parts


def test_a_batch_is_data_around_its_gaps() -> None:
    assert parts(5, 12, [(7, 8), (12, 12)]) == Parts(data=((5, 6), (9, 11)), lost=((7, 8), (12, 12)))


def test_a_batch_may_be_nothing_but_a_gap_of_any_size() -> None:
    assert parts(1, 10**15, [(1, 10**15)]) == Parts(data=(), lost=((1, 10**15),))


@pytest.mark.parametrize(
    ("first", "last", "lost"),
    [
        (0, 3, []),
        (5, 4, []),
        (5, 9, [(4, 6)]),
        (5, 9, [(8, 10)]),
        (5, 9, [(7, 6)]),
        (5, 9, [(5, 7), (7, 8)]),
        (5, 9, [(8, 8), (6, 6)]),
    ],
)
def test_numbers_that_do_not_fit_are_refused(first: int, last: int, lost: list[tuple[int, int]]) -> None:
    with pytest.raises(Refused) as refused:
        parts(first, last, lost)
    assert refused.value.reason == "bad_numbers"
