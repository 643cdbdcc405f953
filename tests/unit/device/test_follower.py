"""Followers: what was read once is not read again, whatever happened to the stream."""

from __future__ import annotations

from broker.payloads import Line
from device.logs.follower import QUEUE_LINES, _Queue


def line(text: str) -> Line:
    return Line(0, "web", "out", text)


def test_a_line_that_waits_to_be_packed_counts_as_read() -> None:
    waiting = _Queue()
    waiting.put("c1", 5, line("a"))
    assert waiting.newest_ns("c1") == 5
    waiting.take()
    assert waiting.newest_ns("c1") == 5
    assert waiting.newest_ns("c2") == 0


def test_a_full_queue_drops_its_oldest_lines_and_counts_them() -> None:
    waiting = _Queue()
    for n in range(QUEUE_LINES + 3):
        waiting.put("c1", n, line(str(n)))
    taken, dropped = waiting.take()
    assert dropped == 3
    assert taken[0][2].text == "3"


def test_lines_that_could_not_be_written_come_first_again_in_their_order() -> None:
    waiting = _Queue()
    for n in range(3):
        waiting.put("c1", n, line(str(n)))
    taken, dropped = waiting.take()
    waiting.put("c1", 3, line("3"))
    waiting.put_back(taken, dropped + 1)
    taken, dropped = waiting.take()
    assert ([item[2].text for item in taken], dropped) == (["0", "1", "2", "3"], 1)
