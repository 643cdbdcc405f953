"""Stored batches in pages."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from broker.errors import Refused
from broker.payloads import SAMPLES, Sample, pack_samples, unpack_samples
from cloud.decoded import Cursor, elements, page, page_back, parse_cursor
from cloud.store.batches import StoredBatch


def batch(arrival: int, first: int, last: int, gaps: tuple[tuple[int, int], ...] = ()) -> StoredBatch:
    numbers = [n for n in range(first, last + 1) if not any(low <= n <= high for low, high in gaps)]
    payload = pack_samples([Sample(n, {"v": str(n)}) for n in numbers])
    return StoredBatch("d", "app:x", 1, first, last, SAMPLES, payload, gaps, 0, 0, arrival)


STORED = [batch(1, 1, 3), batch(5, 4, 9, gaps=((5, 6),)), batch(6, 10, 10)]


def fetch(arrival: int) -> Sequence[StoredBatch]:
    return [one for one in STORED if one.arrival >= arrival][:2]


def test_elements_have_the_numbers_that_no_gap_covers() -> None:
    assert [(element.seq, element.value.at_ms) for element in elements(STORED[1], unpack_samples)] == [
        (4, 4),
        (7, 7),
        (8, 8),
        (9, 9),
    ]


@pytest.mark.parametrize("limit", [1, 2, 3, 8, 100])
def test_pages_of_any_size_give_everything_once(limit: int) -> None:
    found: list[int] = []
    at: Cursor | None = Cursor()
    while at is not None:
        some, at = page(fetch, unpack_samples, after=at, limit=limit)
        found += [element.seq for element in some]
        if not some:
            break
    assert found == [1, 2, 3, 4, 7, 8, 9, 10]


def back(arrival: int) -> Sequence[StoredBatch]:
    return [one for one in reversed(STORED) if one.arrival <= arrival][:2]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8, 100])
def test_pages_of_any_size_give_everything_once_backwards(limit: int) -> None:
    found: list[int] = []
    before, ends = None, set()
    while True:
        some, before, end = page_back(back, unpack_samples, before=before, limit=limit)
        found[:0] = [element.seq for element in some]
        ends.add(str(end))
        if before is None:
            break
    assert found == [1, 2, 3, 4, 7, 8, 9, 10]
    assert "7.0" in ends, "the first page tells where newer ones will be"


def test_the_newest_go_on_with_what_comes_later() -> None:
    some, _, end = page_back(back, unpack_samples, before=None, limit=2)
    assert [element.seq for element in some] == [9, 10]
    assert end is not None
    assert page(fetch, unpack_samples, after=end, limit=10) == ([], end)


def test_nothing_at_all_has_no_cursors() -> None:
    assert page_back(lambda _: [], unpack_samples, before=None, limit=2) == ([], None, None)


def test_only_what_is_wanted_counts_backwards_as_well() -> None:
    some, previous, _ = page_back(
        back, unpack_samples, before=None, limit=2, wanted=lambda sample: sample.at_ms % 2 == 0
    )
    assert [element.seq for element in some] == [8, 10]
    assert str(previous) == "5.8"
    assert page_back(back, unpack_samples, before=None, limit=2, wanted_batch=lambda b: b.arrival == 9)[0] == []


def test_a_payload_that_is_not_of_its_format_is_left_out() -> None:
    broken = StoredBatch("d", "app:x", 1, 1, 2, SAMPLES, b"garbage", (), 0, 0, 1)
    assert elements(broken, unpack_samples) == []


@pytest.mark.parametrize("text", ["x", "1", "1.", ".1", "1.x", "-1.2", "1.2.3", "9" * 50 + ".1", "\u0663.\u0661"])
def test_a_text_that_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        parse_cursor(text)
