"""Replies: sent again until a sync lists them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from broker.messages import Reply
from device.replies import AGAIN, WAITING_MAX, Replies
from tests.unit.device.fakes import CONN, FakeClock, Line, Script, nothing, uplink_on


class Stage:
    """Replies on a line."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.line = Line()
        self.replies = Replies(uplink_on(self.line), clock=self.clock)

    def add(self, reply_id: str = "r", about: str = "command:1") -> None:
        self.replies.add(reply_id, about=about, ok=True)

    def turns(self, *actions: Callable[[], object]) -> list[str]:
        """Let the thread turn once after each action; return the ids it sent."""
        self.replies.run(Script(actions, wake=self.replies.poke))
        return [reply.id for reply in self.line.taken()]

    def after(self, seconds: float) -> Callable[[], object]:
        return lambda: self.clock.sleep(seconds)


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_a_reply_says_what_it_is_about_and_how_it_ended(stage: Stage) -> None:
    stage.replies.add("r", about="accepted", ok=False, reason="why", message="because", envelope=b"\x01")
    stage.replies.run(Script([nothing], wake=stage.replies.poke))
    assert stage.line.taken() == [
        Reply(conn=CONN, n=1, id="r", about="accepted", ok=False, reason="why", message="because", envelope=b"\x01")
    ]


def test_a_reply_is_sent_again_with_growing_patience_until_it_is_held(stage: Stage) -> None:
    stage.add()
    again = [stage.after(AGAIN.delay_s(tries, 1.0)) for tries in (1, 2)]
    assert stage.turns(nothing, nothing, *again) == ["r", "r", "r"]
    assert stage.turns(lambda: stage.replies.held(["r"]), stage.after(1000.0)) == []


def test_a_reply_is_not_sent_again_before_its_time(stage: Stage) -> None:
    stage.add()
    assert stage.turns(nothing, stage.after(AGAIN.delay_s(1, 1.0) - 0.1)) == ["r"]


def test_only_what_is_listed_is_forgotten(stage: Stage) -> None:
    stage.add("a")
    stage.add("b")
    stage.turns(nothing)
    assert stage.turns(lambda: stage.replies.held(["a", "never sent"]), stage.after(1000.0)) == ["b"]


def test_a_new_connection_sends_all_that_waits_at_once(stage: Stage) -> None:
    stage.add("a")
    stage.add("b")
    assert stage.turns(nothing, stage.replies.link_up) == ["a", "b", "a", "b"]


def test_a_reply_that_already_waits_is_left_as_it_is(stage: Stage) -> None:
    stage.add("r", about="first")
    stage.add("r", about="second")
    stage.replies.run(Script([nothing], wake=stage.replies.poke))
    assert [reply.about for reply in stage.line.taken()] == ["first"]


def test_a_reply_that_found_no_connection_leaves_with_the_next_one(stage: Stage) -> None:
    stage.line.connected = False
    stage.add()
    assert stage.turns(nothing) == []
    stage.line.connected = True
    assert stage.turns(nothing) == ["r"]


def test_when_too_many_wait_the_oldest_is_given_up(stage: Stage) -> None:
    for n in range(WAITING_MAX + 2):
        stage.add(f"r{n}")
    assert stage.turns(nothing) == [f"r{n}" for n in range(2, WAITING_MAX + 2)]
