"""The newest of what comes in pages, and what comes after."""

from __future__ import annotations

import itertools

import pytest

from broker.errors import Passing
from cloud.cli.answers import Gap, Line, Sample
from cloud.cli.paging import PAGE_SIZE, BackPage, Cursor, Page, arriving, newest
from cloud.cli.samples import element_text, line_text


class Numbers:
    """Pages of the numbers from 0 on; the cursor is the next number."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.asked = 0

    def page(self, after: Cursor) -> Page[int]:
        first = int(after or 0)
        last = min(first + PAGE_SIZE, self.count)
        return range(first, last), last or None

    def back(self, before: Cursor, count: int) -> BackPage[int]:
        self.asked += count
        last = self.count if before is None else int(before)
        first = max(0, last - count)
        return range(first, last), first or None, self.count or None


@pytest.mark.parametrize("count", [0, 1, PAGE_SIZE, PAGE_SIZE + 1, 3 * PAGE_SIZE])
def test_the_newest_are_kept(count: int) -> None:
    for keep in (1, 5, PAGE_SIZE, PAGE_SIZE + 1, 2 * PAGE_SIZE + 3):
        numbers = Numbers(count)
        found, cursor = newest(numbers.back, keep=keep)
        assert found == list(range(count))[-keep:]
        assert cursor == (count or None)
        assert numbers.asked <= keep, "nothing is read that is not wanted"


def test_what_comes_later_is_given_once() -> None:
    numbers = Numbers(3)
    pauses = itertools.count()

    def pause(_: float) -> None:
        next(pauses)
        numbers.count += 2

    _, cursor = newest(numbers.back, keep=5)
    assert list(itertools.islice(arriving(numbers.page, cursor, pause=pause, lost=print), 5)) == [3, 4, 5, 6, 7]


def test_a_cloud_that_is_away_is_waited_for_and_told_once() -> None:
    answers: list[Page[int] | Passing] = [Passing("gone"), Passing("gone"), ([1], 1), Passing("gone again"), ([2], 2)]

    def fetch(_: Cursor) -> Page[int]:
        answer = answers.pop(0)
        if isinstance(answer, Passing):
            raise answer
        return answer

    lost: list[str] = []
    found = itertools.islice(arriving(fetch, None, pause=lambda _: None, lost=lost.append), 2)
    assert list(found) == [1, 2]
    assert lost == ["gone", "gone again"]


def test_samples_gaps_and_lines_are_one_line_each() -> None:
    sample = Sample.model_validate({"device": "d1", "stream": "t:a", "seq": 7, "fields": {"n": "1\n", "m": "x"}})
    assert element_text("pump", sample) == "-  pump  t:a #7  n=1  m=x"
    gap = Gap(device="d1", stream="t:a", first=2, last=4, cause="full")
    assert element_text("pump", gap) == "missing              pump  t:a #2-4  full"
    line = Line(device="d1", app="hello", service="web", stream="err", text="\x1b[31mno\n")
    assert line_text("pump", line) == "-  pump  hello/web  ! ?[31mno"
