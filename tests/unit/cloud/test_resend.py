"""When a desired state is sent again."""

from __future__ import annotations

from broker.ids import DeviceRef
from cloud.resend import FIRST_S, LONGEST_S, OFTEN_S, OFTEN_TRIES, Resend

DEVICE = DeviceRef("o" + "a" * 11, "d" + "a" * 11)


def test_a_device_is_given_a_moment_before_its_state_is_sent_again() -> None:
    resend = Resend()
    resend.want(DEVICE, now_s=100.0)
    assert resend.due(now_s=100.0) == []
    assert resend.due_in_s(now_s=100.0) == FIRST_S
    assert resend.due(now_s=100.0 + FIRST_S) == [DEVICE]
    assert resend.due_in_s(now_s=200.0) is None


def test_asking_again_and_again_makes_it_rarer_up_to_a_limit() -> None:
    resend, now, waits = Resend(), 0.0, []
    for _ in range(OFTEN_TRIES + 12):
        resend.want(DEVICE, now_s=now)
        wait = resend.due_in_s(now_s=now)
        assert wait is not None
        waits.append(wait)
        now += wait
        assert resend.due(now_s=now) == [DEVICE]
    assert waits == sorted(waits)
    assert waits[OFTEN_TRIES - 1] == OFTEN_S, "often enough for a link that loses half of everything"
    assert waits[-1] == LONGEST_S


def test_a_device_that_has_caught_up_begins_anew() -> None:
    resend = Resend()
    for now in (0.0, 100.0):
        resend.want(DEVICE, now_s=now)
        resend.due(now_s=now + 50)
    resend.settled(DEVICE)
    resend.want(DEVICE, now_s=300.0)
    assert resend.due_in_s(now_s=300.0) == FIRST_S
