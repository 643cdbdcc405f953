"""When a device says that it is there. Time is the script's; a turn is one pass of the thread's loop."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from broker.messages import Beat, Birth, Conn, Generation, Host, StreamKept, Sync
from broker.policy import Policy
from device.presence import BIRTH_AGAIN_S, SUBSCRIBE_AGAIN_S, Presence, Standing
from tests.harness.apps import DIGEST
from tests.unit.device.fakes import CONN, NEXT_CONN, FakeClock, Line, Script, nothing, uplink_on

BEAT_S = 60.0
POLICY = Policy(allow_devices=("/dev/ttyS0",))
HELD = Generation(era=2, generation=7, digest=DIGEST)
KEPT = (StreamKept(stream="telemetry:a", epoch=3, first=1, last=9),)
STANDING = Standing(accepted=HELD, streams=KEPT, status=4, store="s1")


class Stage:
    """A presence on a line."""

    def __init__(self, standing: Standing = STANDING) -> None:
        self.clock = FakeClock()
        self.line = Line()
        self.uplink = uplink_on(self.line)
        self.presence = Presence(
            self.uplink,
            instance="w1",
            version="0.1",
            host=lambda: Host(hostname="pump"),
            policy=POLICY,
            standing=lambda: standing,
            beat_s=BEAT_S,
            clock=self.clock,
        )

    def turns(self, *actions: Callable[[], object]) -> list[str]:
        """Let the thread turn once after each action; return the kinds of what it sent in all."""
        self.presence.run(Script(actions, wake=self.presence.poke))
        return [message.kind for message in self.line.taken()]

    def after(self, seconds: float) -> Callable[[], object]:
        return lambda: self.clock.sleep(seconds)

    def sync(self, conn: Conn = CONN) -> None:
        self.presence.synced(Sync(conn=conn, n=1, store="s1", time_ms=1))


def test_a_birth_tells_all_that_the_cloud_must_know() -> None:
    stage = Stage()
    stage.presence.run(Script([nothing]))
    assert stage.line.published[0].retain
    assert stage.line.taken() == [
        Birth(
            conn=CONN, n=1, instance="w1", worker="0.1", host=Host(hostname="pump"), accepted=HELD, streams=KEPT,
            status=4, store="s1", policy=POLICY,
        )
    ]  # fmt: skip


def test_a_birth_is_sent_again_until_a_sync_answers_it_and_then_beats() -> None:
    stage = Stage()
    again = stage.after(BIRTH_AGAIN_S)
    assert stage.turns(nothing, nothing, again, again, stage.sync, again, stage.after(BEAT_S)) == [
        "birth",
        "birth",
        "birth",
        "beat",
    ]


def test_a_beat_tells_the_held_generation_and_is_not_retained() -> None:
    stage = Stage()
    stage.presence.run(Script([nothing, stage.sync, stage.after(BEAT_S)], wake=stage.presence.poke))
    assert not stage.line.published[-1].retain
    assert stage.line.taken()[-1] == Beat(conn=CONN, n=2, era=2, generation=7, status=4)


def test_a_device_that_holds_nothing_yet_beats_with_zeros() -> None:
    stage = Stage(Standing(accepted=None, streams=(), status=0, store=None))
    stage.presence.run(Script([nothing, stage.sync, stage.after(BEAT_S)], wake=stage.presence.poke))
    assert stage.line.taken()[-1] == Beat(conn=CONN, n=2)


def test_a_beat_leaves_once_an_interval_and_not_more_often() -> None:
    stage = Stage()
    beat = stage.after(BEAT_S)
    early = stage.after(BEAT_S - 1)
    actions = [nothing, stage.sync, early, nothing, stage.after(1), stage.sync, early, stage.after(1), stage.sync, beat]
    assert stage.turns(*actions) == ["birth", "beat", "beat", "beat"]


def test_a_new_connection_begins_with_a_birth() -> None:
    stage = Stage()
    assert stage.turns(nothing, stage.sync) == ["birth"]
    stage.uplink.open(NEXT_CONN)
    stage.presence.link_up()
    assert stage.turns(nothing) == ["birth"]


def test_another_birth_may_be_asked_for_at_any_time() -> None:
    stage = Stage()
    assert stage.turns(nothing, stage.sync, stage.presence.born_again, nothing) == ["birth", "birth"]


def test_a_birth_that_no_sync_answers_for_half_a_minute_makes_a_new_connection() -> None:
    stage = Stage()
    stage.turns(nothing, stage.after(SUBSCRIBE_AGAIN_S))
    assert stage.line.reconnects == 0
    stage.turns(stage.after(1.0))
    assert stage.line.reconnects == 0  # another run of the thread counts from its own first birth
    stage.turns(nothing, stage.after(SUBSCRIBE_AGAIN_S + 1.0))
    assert stage.line.reconnects == 1


def test_syncs_that_stop_coming_bring_births_again_and_then_a_new_connection() -> None:
    stage = Stage()
    hour = [stage.after(BIRTH_AGAIN_S)] * 60
    kinds = stage.turns(nothing, stage.sync, *hour)
    assert kinds[0] == "birth"
    assert "beat" in kinds
    assert kinds[-1] == "birth"
    assert stage.line.reconnects > 0


def test_nothing_is_sent_while_there_is_no_connection() -> None:
    stage = Stage()
    stage.line.connected = False
    assert stage.turns(nothing, stage.after(BEAT_S)) == []
    stage.line.connected = True
    assert stage.turns(nothing) == ["birth"]


def test_a_birth_that_the_session_has_no_room_for_is_tried_again_at_once() -> None:
    stage = Stage()
    stage.line.room = 0

    def room() -> None:
        stage.line.room = 1

    assert stage.turns(nothing, nothing, room) == ["birth"]


@pytest.mark.parametrize("stray", [NEXT_CONN, Conn(boot="1" * 32, count=1)])
def test_a_sync_for_another_connection_answers_no_birth(stray: Conn) -> None:
    stage = Stage()
    kinds = stage.turns(nothing, lambda: stage.sync(stray), stage.after(BIRTH_AGAIN_S))
    assert kinds == ["birth", "birth"]
