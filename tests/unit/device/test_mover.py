"""What the mover decides without a server: how many samples an app erased (the rest is in tests/contract)."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from device.telemetry.mover import BYTES_MAX, SAMPLE_BYTES_MAX, Counters, fitting, newly_lost


def test_nothing_is_lost_while_all_that_was_added_was_moved_or_waits() -> None:
    assert newly_lost(Counters(moved=7), added=10, length=3) == 0


def test_what_was_added_and_neither_moved_nor_waits_was_erased() -> None:
    assert newly_lost(Counters(moved=4), added=11, length=1) == 6


def test_what_is_known_as_lost_is_not_lost_again() -> None:
    assert newly_lost(Counters(moved=4, lost=6), added=11, length=1) == 0


def test_a_count_that_went_back_says_that_the_intake_began_anew() -> None:
    assert newly_lost(Counters(moved=100, lost=5), added=3, length=3) < 0


def test_counters_are_kept_as_text_and_read_back() -> None:
    assert Counters("5-1", 3, 2).fields() == {"cursor": "5-1", "moved": "3", "lost": "2"}


def sized(*sizes: int) -> list[tuple[str, list[bytes]]]:
    return [(f"{n}-0", [b"v", bytes(size - 1)]) for n, size in enumerate(sizes)]


def test_a_batch_takes_what_fits_and_a_large_sample_by_itself() -> None:
    small = sized(*[100] * 10)
    assert fitting(small) == (0, small)
    assert fitting(sized(BYTES_MAX - 10, 5, 6))[1] == sized(BYTES_MAX - 10, 5)
    assert fitting(sized(SAMPLE_BYTES_MAX, 1))[1] == sized(SAMPLE_BYTES_MAX)
    assert fitting([]) == (0, [])


def test_what_no_message_could_carry_is_counted_where_it_stood() -> None:
    over = SAMPLE_BYTES_MAX + 1
    assert fitting(sized(over, over, 5)) == (2, sized(over, over, 5)[2:])
    assert fitting(sized(5, over, 5)) == (0, sized(5))
    assert fitting(sized(over)) == (1, [])


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.sampled_from(["add", "erase", "move"]), st.integers(1, 5)), max_size=30))
def test_every_sample_is_moved_lost_or_waiting_whatever_the_order(story: list[tuple[str, int]]) -> None:
    added = length = 0
    counters = Counters()
    for what, count in story:
        if what == "add":
            added, length = added + count, length + count
        elif what == "erase":
            length -= min(count, length)
        else:
            taken = min(count, length)
            lost = newly_lost(counters, added=added, length=length)
            counters = Counters("", counters.moved + taken, counters.lost + lost)
            length -= taken
            assert counters.moved + counters.lost + length == added
