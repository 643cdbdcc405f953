"""Followers: what was read once is not read again and packed once, whatever happened to the stream or the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest

from broker.payloads import Line, unpack_lines
from device.engine.memory import MemoryEngine
from device.engine.port import Engine
from device.logs.follower import BATCH_BYTES, LINE_CHARS_MAX, QUEUE_LINES, Followers, Queue
from device.telemetry.buffer import Buffer
from device.telemetry.connection import RedisUnavailable


def line(text: str) -> Line:
    return Line(0, "web", "out", text)


class Shelf:
    """As much of the buffer as packing uses. `harm` says what becomes of the next writes: stored, refused or silent."""

    def __init__(self, *harm: str) -> None:
        self.batches: list[list[str]] = []
        self.gaps: list[tuple[int, str]] = []
        self._cursor: dict[str, str] = {}
        self._harm = list(harm)

    def cursor(self, source: str) -> dict[str, str]:
        return dict(self._cursor)

    def append(
        self,
        stream: str,
        *,
        payload: bytes,
        gap_causes: Sequence[tuple[int, str]],
        cursor: tuple[str, Mapping[str, str]],
        **_: Any,
    ) -> None:
        harm = self._harm.pop(0) if self._harm else "stored"
        if harm != "refused":
            self.batches.append([each.text for each in unpack_lines(payload)] if payload else [])
            self.gaps += gap_causes
            self._cursor |= cursor[1]
        if harm != "stored":
            raise RedisUnavailable("no answer")


def followers(shelf: Shelf, waiting: Queue) -> Followers:
    made = Followers(cast(Engine, MemoryEngine()), cast(Buffer, shelf), packed=lambda: None)
    made._queues["hello"] = waiting
    return made


@pytest.mark.parametrize("harm", ["refused", "silent"])
def test_lines_stand_once_whether_a_lost_answer_meant_yes_or_no(harm: str) -> None:
    shelf, waiting = Shelf("stored", harm, harm), Queue()
    packing = followers(shelf, waiting)
    waiting.put("c1", 1, line("a"))
    packing.pack()
    for n in range(QUEUE_LINES + 2):
        waiting.put("c1", 7, line(str(n)))  # one time stamp for all: only the batch tells them apart
    packing.pack()
    waiting.put("c1", 8, line("z"))
    for _ in range(3):
        packing.pack()
    assert [text for batch in shelf.batches for text in batch] == [
        "a",
        *(str(n) for n in range(2, QUEUE_LINES + 2)),
        "z",
    ]
    assert shelf.gaps == [(2, "log_overflow")]


def test_a_batch_of_long_lines_ends_before_it_is_too_large_to_travel() -> None:
    waiting = Queue()
    long = "\N{GRINNING FACE}" * LINE_CHARS_MAX
    for n in range(20):
        waiting.put("c1", n, line(long))
    sizes = []
    while (taken := waiting.take()[0]) is not None:
        sizes.append(sum(len(each.text.encode()) for _, _, each in taken.lines))
        assert len(taken.lines) == 1 or sizes[-1] <= BATCH_BYTES
        waiting.written()
    assert sum(sizes) == 20 * len(long.encode())
    assert len(sizes) == 4


def test_many_batches_are_written_in_one_turn() -> None:
    shelf, waiting = Shelf(), Queue()
    for n in range(1500):
        waiting.put("c1", n, line(str(n)))
    followers(shelf, waiting).pack()
    assert [len(batch) for batch in shelf.batches] == [1000, 500]


def test_a_line_that_waits_to_be_packed_counts_as_read() -> None:
    waiting = Queue()
    waiting.put("c1", 5, line("a"))
    assert waiting.newest_ns("c1") == 5
    waiting.take()
    assert waiting.newest_ns("c1") == 5
    assert waiting.newest_ns("c2") == 0


def test_a_full_queue_drops_its_oldest_lines_and_counts_them() -> None:
    waiting = Queue()
    for n in range(QUEUE_LINES + 3):
        waiting.put("c1", n, line(str(n)))
    taken, _ = waiting.take()
    assert taken is not None
    assert taken.dropped == 3
    assert taken.lines[0][2].text == "3"


def test_what_was_taken_comes_again_until_it_is_written() -> None:
    waiting = Queue()
    waiting.put("c1", 1, line("a"))
    first, was_again = waiting.take()
    waiting.put("c1", 2, line("b"))
    assert (waiting.take(), was_again) == ((first, True), False)
    waiting.written()
    second, _ = waiting.take()
    assert second is not None
    assert [each.text for _, _, each in second.lines] == ["b"]
