"""Durations as typed and as read."""

from __future__ import annotations

import pytest

from cloud.cli.durations import ago, seconds_of
from cloud.cli.errors import RequestRefused

NOW_MS = 1_700_000_000_000


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("5m", 300), ("1h30m", 5400), ("2d", 172_800), (" 1H ", 3600), ("0", 0)],
)
def test_a_duration_is_read(text: str, seconds: int) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "1w", "-5", "1.5h", "5 m", "1h30", "9999999999", "\u0661m"])
def test_what_is_no_duration_is_refused_with_a_hint(text: str) -> None:
    with pytest.raises(RequestRefused) as refused:
        seconds_of(text)
    assert refused.value.reason == "bad_duration"
    assert "1h30m" in refused.value.hint


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "now"), (59, "59 s ago"), (119, "119 s ago"), (120, "2 m ago"), (7300, "2 h ago"), (200_000, "2 d ago")],
)
def test_times_ago_use_their_largest_whole_unit(seconds: int, text: str) -> None:
    assert ago(NOW_MS - seconds * 1000, NOW_MS) == text


def test_what_never_was_is_never_ago() -> None:
    assert ago(None, NOW_MS) == "never"


def test_a_clock_that_is_behind_shows_now() -> None:
    assert ago(NOW_MS + 60_000, NOW_MS) == "now"
