"""How long to wait."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from broker.backoff import Backoff

BACKOFF = Backoff(first_s=0.5, max_s=60.0)


def test_waits_double_from_the_first_up_to_the_cap() -> None:
    assert [BACKOFF.delay_s(attempt, 1.0) for attempt in range(9)] == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]


def test_jitter_spreads_over_the_whole_window() -> None:
    assert [BACKOFF.delay_s(2, jitter) for jitter in (0.0, 0.25, 0.5)] == [0.0, 0.5, 1.0]


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**9), st.floats(0, 1, exclude_max=True))
def test_no_wait_is_ever_over_the_cap(attempt: int, jitter: float) -> None:
    assert 0.0 <= BACKOFF.delay_s(attempt, jitter) <= 60.0
