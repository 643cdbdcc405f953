"""Quotas per key."""

from __future__ import annotations

from cloud.throttle import Throttle


def test_a_minutes_worth_may_come_at_once_and_then_one_waits() -> None:
    throttle = Throttle(60)
    assert [throttle.take("a", 20, now_s=0.0) for _ in range(3)] == [0, 0, 0]
    assert throttle.take("a", 20, now_s=0.0) == 20
    assert throttle.take("a", 20, now_s=20.0) == 0


def test_one_key_does_not_delay_another() -> None:
    throttle = Throttle(1)
    assert throttle.take("a", 1, now_s=0.0) == 0
    assert throttle.take("a", 1, now_s=0.0) > 0
    assert throttle.take("b", 1, now_s=0.0) == 0


def test_more_than_a_minutes_worth_passes_when_nothing_was_used() -> None:
    throttle = Throttle(10)
    assert throttle.take("a", 1000, now_s=0.0) == 0
    assert throttle.take("a", 1000, now_s=30.0) == 30
