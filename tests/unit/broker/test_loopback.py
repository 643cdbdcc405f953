"""Matching of topics in the loopback broker (what a session promises is in tests/contract)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paho.mqtt.client import topic_matches_sub

from broker.loopback import topic_matches

levels = st.lists(st.sampled_from(["a", "b", "", "$x"]), min_size=1, max_size=4)


@st.composite
def filters(draw: st.DrawFn) -> str:
    parts = draw(st.lists(st.sampled_from(["a", "b", "", "+", "$x"]), min_size=1, max_size=4))
    return "/".join(parts + ["#"] * draw(st.integers(0, 1)))


@settings(deadline=None, max_examples=80)
@given(filters(), levels.map("/".join))
def test_filters_match_as_in_a_client_that_others_wrote(pattern: str, topic: str) -> None:
    assert topic_matches(pattern, topic) == topic_matches_sub(pattern, topic)


@pytest.mark.parametrize(
    ("pattern", "topic", "matches"),
    [  # MQTT 5, 4.7.1 and 4.7.2
        ("sport/tennis/player1/#", "sport/tennis/player1", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", True),
        ("sport/+", "sport", False),
        ("sport/+", "sport/", True),
        ("sport/tennis/+", "sport/tennis/player1/ranking", False),
        ("+/+", "/finance", True),
        ("+", "/finance", False),
        ("#", "$SYS/monitor", False),
        ("+/monitor/Clients", "$SYS/monitor/Clients", False),
        ("$SYS/#", "$SYS/monitor/Clients", True),
    ],
)
def test_filters_match_as_the_standard_says(pattern: str, topic: str, matches: bool) -> None:
    assert topic_matches(pattern, topic) is matches
