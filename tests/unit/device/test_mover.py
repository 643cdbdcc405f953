"""What the mover decides without a server: how many samples an app erased (the rest is in tests/contract)."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from device.telemetry.mover import Counters, newly_lost


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
