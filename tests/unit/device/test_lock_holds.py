"""How long a lock counts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from device.platform.lock_holds import Hold, after_look, remaining_s
from device.platform.lock_text import Wish

MAX_S = 1000.0


def wish(value: str = "a", seconds: float = 100.0) -> Wish:
    return Wish("app", "", seconds, value)


class Watched:
    """A lock that is looked at every second."""

    def __init__(self) -> None:
        self.now = 5000.0
        self.hold: Hold | None = None

    def left(self, seen: Wish | None, *, after: float = 0.0) -> float:
        end = self.now + after
        while self.now < end:
            self.now = min(end, self.now + 1.0)
            self.hold = after_look(self.hold, seen, now=self.now)
        self.hold = after_look(self.hold, seen, now=self.now)
        return 0.0 if self.hold is None or seen is None else remaining_s(self.hold, seen, max_s=MAX_S, now=self.now)


def test_a_lock_counts_from_when_it_is_first_seen() -> None:
    watched = Watched()
    assert watched.left(wish()) == 100.0
    assert watched.left(wish(), after=40.0) == 60.0
    assert watched.left(wish(), after=61.0) == 0.0


def test_another_value_starts_the_seconds_anew() -> None:
    watched = Watched()
    watched.left(wish("a"), after=90.0)
    assert watched.left(wish("b")) == 100.0


def test_no_row_of_values_outlasts_the_maximum() -> None:
    watched = Watched()
    for n in range(21):
        watched.left(wish(str(n)), after=50.0)
    assert watched.left(wish("more")) == 0.0
    assert watched.left(wish("more", seconds=1e9), after=500.0) == 0.0


def test_a_lock_that_was_gone_begins_anew() -> None:
    watched = Watched()
    watched.left(wish("a", seconds=1e9), after=MAX_S + 1)
    assert watched.left(None) == 0.0
    assert watched.left(wish("a")) == 100.0


def test_one_that_was_forgotten_stays_over_also_when_nobody_looks_for_days() -> None:
    watched = Watched()
    watched.left(wish("a"), after=101.0)
    watched.now += 200_000
    assert watched.left(wish("a")) == 0.0


def test_another_lock_of_another_day_is_not_held_against_the_first() -> None:
    watched = Watched()
    watched.left(wish("a", seconds=1e9), after=MAX_S + 1)
    watched.now += 200_000
    assert watched.left(wish("b")) == 100.0


@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.floats(0, 1e9)), min_size=1, max_size=80))
def test_a_watched_lock_ends_within_the_maximum_whatever_is_written(
    values: list[tuple[str, float]],
) -> None:
    watched = Watched()
    began = watched.now
    for value, seconds in values:
        left = watched.left(wish(value, seconds), after=30.0)
        assert left <= max(0.0, began + MAX_S - watched.now) + 1.0
