"""Takeovers of the identity, as operators see them."""

from __future__ import annotations

from device.takeovers import CALM_S, Takeovers
from tests.unit.device.fakes import FakeClock


def test_a_takeover_is_a_condition_until_it_was_calm_for_long() -> None:
    clock = FakeClock()
    takeovers = Takeovers(clock)
    assert takeovers.calm() is None
    first, second = takeovers.taken(), takeovers.taken()
    assert (first.type, first.status, first.reason) == ("IdentityTakenOver", True, "taken_over")
    assert first.message == "another machine or worker has connected with this device's identity, once so far"
    assert second.message.endswith("2 times so far")
    assert takeovers.calm() is None
    clock.sleep(CALM_S)
    over = takeovers.calm()
    assert over is not None
    assert (over.type, over.status, over.message) == ("IdentityTakenOver", False, "")
    assert takeovers.calm() is None


def test_another_takeover_begins_the_calm_anew() -> None:
    clock = FakeClock()
    takeovers = Takeovers(clock)
    takeovers.taken()
    clock.sleep(CALM_S - 1)
    takeovers.taken()
    clock.sleep(CALM_S - 1)
    assert takeovers.calm() is None
