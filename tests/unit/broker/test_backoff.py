"""How long to wait."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from broker.backoff import STANDING_S, Backoff, Reconnecting

BACKOFF = Backoff(first_s=0.5, max_s=60.0)


def test_waits_double_from_the_first_up_to_the_cap() -> None:
    assert [BACKOFF.delay_s(attempt, 1.0) for attempt in range(9)] == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]


def test_jitter_spreads_over_the_whole_window() -> None:
    assert [BACKOFF.delay_s(2, jitter) for jitter in (0.0, 0.25, 0.5)] == [0.0, 0.5, 1.0]


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**9), st.floats(0, 1, exclude_max=True))
def test_no_wait_is_ever_over_the_cap(attempt: int, jitter: float) -> None:
    assert 0.0 <= BACKOFF.delay_s(attempt, jitter) <= 60.0


def reconnecting() -> Reconnecting:
    return Reconnecting(Backoff(first_s=0.25, max_s=15.0), Backoff(first_s=30.0, max_s=300.0))


def test_a_connection_that_stands_only_briefly_does_not_reset_the_wait() -> None:
    # It did as soon as a connection was up: two machines with one identity reconnected four times a second each.
    waits = reconnecting()
    ends = [(0.0, False), (0.3, False), (STANDING_S - 1, False), (0.3, False), (0.3, False), (0.3, False)]
    assert [waits.wait_s(stood_s=stood, taken_over=taken, jitter=1.0) for stood, taken in ends] == [
        0.5, 1, 2, 4, 8, 15,
    ]  # fmt: skip
    assert waits.wait_s(stood_s=STANDING_S, taken_over=False, jitter=1.0) == 0.25


def test_who_was_taken_over_waits_for_minutes_and_at_least_half_of_its_wait() -> None:
    waits = reconnecting()
    took = [waits.wait_s(stood_s=100.0, taken_over=True, jitter=jitter) for jitter in (0.0, 1.0, 1.0, 0.0, 1.0)]
    assert took == [15, 60, 120, 120, 300]


def test_takeovers_are_forgotten_after_a_connection_that_stood_and_ended_otherwise() -> None:
    waits = reconnecting()
    for _ in range(3):
        waits.wait_s(stood_s=100.0, taken_over=True, jitter=1.0)
    waits.wait_s(stood_s=1.0, taken_over=False, jitter=1.0)
    assert waits.wait_s(stood_s=1.0, taken_over=True, jitter=1.0) == 240
    waits.wait_s(stood_s=STANDING_S, taken_over=False, jitter=1.0)
    assert waits.wait_s(stood_s=1.0, taken_over=True, jitter=1.0) == 30
