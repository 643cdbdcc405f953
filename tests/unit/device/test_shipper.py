"""The shipper on a buffer that is a list: windows, order, patience, refusals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from broker.messages import Batch, Gap, Instant, Refusal, StreamHeld, Sync
from device.telemetry.buffer import Buffer
from device.telemetry.connection import RedisUnavailable
from device.telemetry.ranges import Range, holes
from device.telemetry.shipper import AGAIN, WINDOW, Shipper, Thrift
from device.telemetry.stored import Extent, Place, Stored
from tests.unit.device.fakes import BOOT, CONN, NEXT_CONN, FakeClock, Line, Script, nothing, uplink_on

NOW = Instant(boot=BOOT, mono_ms=1, wall_ms=2)
APP = Place("telemetry:app", 1)
LOGS = Place("logs:app", 1)
EVENTS = Place("events:worker", 1)


@dataclass
class Shelf:
    """As much of the buffer as the shipper uses, with the same promises, in memory."""

    batches: dict[Place, list[Stored]] = field(default_factory=dict)
    orders: dict[Place, int] = field(default_factory=dict)
    sent: dict[Place, int] = field(default_factory=dict)
    trimmed: dict[Place, int] = field(default_factory=dict)
    last: dict[Place, int] = field(default_factory=dict)
    available: bool = True
    looks: int = 0  # how often all extents were read
    searches: int = 0  # how often all batches of a place were read

    def add(self, place: Place, *, count: int = 1, payload: bytes = b"x", order: int = 1) -> None:
        first = self.last.get(place, 0) + 1
        self.last[place] = first + count - 1
        self.orders.setdefault(place, order)
        stored = Stored(place, first, self.last[place], NOW, "samples.v2", payload, ())
        self.batches.setdefault(place, []).append(stored)

    def now(self) -> Instant:
        return NOW

    def extents(self) -> list[Extent]:
        if not self.available:
            raise RedisUnavailable("away")
        self.looks += 1
        return [
            Extent(p, self.orders[p], self.last[p], self.sent.get(p, 0), self.trimmed.get(p, 0)) for p in self.batches
        ]

    def read(self, place: Place, *, after: int, count: int) -> list[Stored]:
        return [batch for batch in self.batches[place] if batch.first > after][:count]

    def note_sent(self, place: Place, last: int) -> None:
        self.sent[place] = max(last, self.sent.get(place, 0))

    def apply_held(self, held: StreamHeld) -> int:
        if not self.available:
            raise RedisUnavailable("away")
        place = Place(held.stream, held.epoch)
        if place not in self.batches:
            return 0
        limit = min(held.contiguous, self.sent.get(place, 0))
        self.trimmed[place] = max(limit, self.trimmed.get(place, 0))
        kept = [batch for batch in self.batches[place] if batch.last > limit]
        gone, self.batches[place] = len(self.batches[place]) - len(kept), kept
        return gone

    def replace_by_gap(self, place: Place, first: int, *, cause: str) -> None:
        self.batches[place] = [
            replace(b, payload=b"", gaps=(Gap(first=b.first, last=b.last, cause=cause),)) if b.first == first else b
            for b in self.batches[place]
        ]

    def lost_by_cloud(self, held: StreamHeld) -> list[Range]:
        self.searches += 1
        place = Place(held.stream, held.epoch)
        kept = [(batch.first, batch.last) for batch in self.batches[place]]
        return holes([*kept, *held.ranges, (1, held.contiguous)], last=self.last[place])


class Stage:
    """A shipper on a line."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.line = Line()
        self.uplink = uplink_on(self.line)
        self.shelf = Shelf()
        self.shipper = Shipper(self.uplink, cast(Buffer, self.shelf), clock=self.clock)

    def turns(self, *actions: Callable[[], object]) -> list[str]:
        """Let the thread turn once after each action; return what it sent, as `stream/epoch first..last`."""
        self.shipper.run(Script(actions, wake=self.shipper.poke))
        self.batches: list[Batch] = self.line.taken()
        return [f"{batch.stream}/{batch.epoch} {batch.first}..{batch.last}" for batch in self.batches]

    def after(self, seconds: float) -> Callable[[], object]:
        return lambda: self.clock.sleep(seconds)

    def sync(self, *streams: StreamHeld) -> Callable[[], object]:
        return lambda: self.shipper.synced(Sync(conn=CONN, n=1, store="s", time_ms=1, streams=streams))


def held(contiguous: int, place: Place = APP, **keys: Any) -> StreamHeld:
    return StreamHeld(stream=place.stream, epoch=place.epoch, contiguous=contiguous, **keys)


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_a_batch_travels_as_it_was_packed(stage: Stage) -> None:
    stage.shelf.add(APP, count=3, payload=b"packed")
    stage.turns(nothing)
    assert stage.batches == [
        Batch(
            conn=CONN, n=1, stream="telemetry:app", epoch=1, first=1, last=3, at=NOW, format="samples.v2",
            payload=b"packed",
        )
    ]  # fmt: skip


def test_what_was_sent_is_not_sent_again_while_there_is_hope(stage: Stage) -> None:
    stage.shelf.add(APP)
    assert stage.turns(nothing, nothing, stage.after(AGAIN.delay_s(0, 1.0))) == ["telemetry:app/1 1..1"]


def test_no_more_than_a_window_is_under_way_and_acks_make_room(stage: Stage) -> None:
    for _ in range(WINDOW + 10):
        stage.shelf.add(APP)
    assert len(stage.turns(nothing, nothing)) == WINDOW
    assert stage.turns(stage.sync(held(3)), nothing, nothing) == [
        f"telemetry:app/1 {n}..{n}" for n in range(WINDOW + 1, WINDOW + 4)
    ]


def test_the_window_is_shared_by_all_streams(stage: Stage) -> None:
    for _ in range(WINDOW):
        stage.shelf.add(APP)
        stage.shelf.add(LOGS)
    assert len(stage.turns(nothing, nothing)) == WINDOW


def test_under_a_link_policy_logs_go_before_samples_and_both_wait_while_an_image_moves(stage: Stage) -> None:
    thrift: list[Thrift] = ["hold"]
    stage.shipper = Shipper(stage.uplink, cast(Buffer, stage.shelf), clock=stage.clock, thrift=lambda: thrift[0])
    for place in (APP, LOGS):
        stage.shelf.add(place)
    assert stage.turns(nothing) == []
    thrift[0] = "logs_first"
    assert stage.turns(nothing) == [f"{LOGS.stream}/1 1..1", f"{APP.stream}/1 1..1"]


def test_events_go_before_samples_and_samples_before_logs(stage: Stage) -> None:
    for place in (LOGS, APP, EVENTS):
        stage.shelf.add(place)
    assert stage.turns(nothing) == ["events:worker/1 1..1", "telemetry:app/1 1..1", "logs:app/1 1..1"]


def test_newer_epochs_of_a_stream_go_before_older_ones(stage: Stage) -> None:
    stage.shelf.add(Place(APP.stream, 77), order=1)
    stage.shelf.add(Place(APP.stream, 5), order=2)
    assert stage.turns(nothing) == ["telemetry:app/5 1..1", "telemetry:app/77 1..1"]


def test_what_does_not_move_is_sent_again_with_growing_patience(stage: Stage) -> None:
    stage.shelf.add(APP)
    stage.shelf.add(APP)
    stage.turns(nothing)
    both = ["telemetry:app/1 1..1", "telemetry:app/1 2..2"]
    assert stage.turns(stage.after(AGAIN.delay_s(0, 1.0) + 0.1)) == both
    assert stage.turns(stage.after(AGAIN.delay_s(0, 1.0) + 0.1)) == []
    assert stage.turns(stage.after(AGAIN.delay_s(1, 1.0))) == both


def test_any_progress_begins_the_patience_anew(stage: Stage) -> None:
    stage.shelf.add(APP)
    stage.shelf.add(APP)
    stage.turns(nothing)
    almost = stage.after(AGAIN.delay_s(0, 1.0) - 0.5)
    assert stage.turns(almost, stage.sync(held(1)), almost) == []
    assert stage.turns(stage.after(1.0)) == ["telemetry:app/1 2..2"]


def test_only_a_sync_moves_anything(stage: Stage) -> None:
    stage.shelf.add(APP)
    stage.turns(nothing, nothing)
    assert stage.shelf.trimmed == {}
    stage.turns(stage.sync(held(1)), nothing)
    assert stage.shelf.trimmed == {APP: 1}
    assert stage.shelf.batches[APP] == []


def test_a_new_connection_sends_all_that_is_not_held(stage: Stage) -> None:
    stage.shelf.add(APP)
    stage.shelf.add(APP)
    stage.turns(nothing, stage.sync(held(1)), nothing)
    stage.uplink.open(NEXT_CONN)
    assert stage.turns(nothing) == ["telemetry:app/1 2..2"]


def test_a_batch_held_above_a_hole_is_no_longer_under_way(stage: Stage) -> None:
    for _ in range(WINDOW + 1):
        stage.shelf.add(APP)
    stage.turns(nothing)
    assert stage.turns(stage.sync(held(0, ranges=((2, 3),))), nothing) == [
        f"telemetry:app/1 {WINDOW + 1}..{WINDOW + 1}"
    ]


def test_a_batch_that_is_held_in_part_only_is_still_under_way(stage: Stage) -> None:
    stage.shelf.add(APP, count=5)
    stage.turns(nothing)
    assert stage.turns(stage.sync(held(4)), stage.after(AGAIN.delay_s(0, 1.0) + 0.1)) == ["telemetry:app/1 1..5"]


def test_what_the_cloud_will_never_take_becomes_a_gap_of_the_same_numbers(stage: Stage) -> None:
    for _ in range(3):
        stage.shelf.add(APP, count=2)
    stage.turns(nothing)
    refusal = Refusal(first=3, last=4, reason="too_large")
    assert stage.turns(stage.sync(held(2, refused=(refusal,))), nothing)[0] == "telemetry:app/1 3..4"
    assert stage.batches[0].gaps == (Gap(first=3, last=4, cause="too_large"),)
    assert stage.batches[0].payload == b""


def test_what_the_cloud_takes_later_is_sent_after_that_time_and_unchanged(stage: Stage) -> None:
    stage.shelf.add(APP)
    stage.shelf.add(LOGS)
    stage.turns(nothing)
    later = Refusal(first=1, last=1, reason="quota", retry_after_s=30)
    assert stage.turns(stage.sync(held(0, refused=(later,))), nothing, stage.after(29.0)) == ["logs:app/1 1..1"]
    assert stage.turns(stage.after(1.5)) == ["telemetry:app/1 1..1"]
    assert stage.batches[0].payload == b"x"


def test_a_batch_that_fits_no_message_is_said_to_be_lost_instead_of_stopping_the_rest(stage: Stage) -> None:
    import random

    stage.shelf.add(APP, payload=random.Random(1).randbytes(300_000))  # noqa: S311 - it only must not compress
    stage.shelf.add(APP)
    assert stage.turns(nothing) == ["telemetry:app/1 2..2"]
    assert stage.turns(stage.after(AGAIN.delay_s(0, 1.0) + 0.1)) == ["telemetry:app/1 1..1", "telemetry:app/1 2..2"]
    assert stage.batches[0].gaps == (Gap(first=1, last=1, cause="too_large"),)


def test_what_a_restored_cloud_lost_and_nobody_keeps_is_told_as_a_gap(stage: Stage) -> None:
    for _ in range(4):
        stage.shelf.add(APP)
    stage.turns(nothing, stage.sync(held(3)), nothing)
    assert stage.turns(stage.sync(held(1)), nothing)[0] == "telemetry:app/1 2..3"
    assert stage.batches[0].gaps == (Gap(first=2, last=3, cause="store_restored"),)


def test_without_a_connection_nothing_is_sent_and_nothing_noted(stage: Stage) -> None:
    stage.shelf.add(APP)
    stage.line.connected = False
    assert stage.turns(nothing) == []
    assert stage.shelf.sent == {}


def test_a_full_session_is_tried_again_from_where_it_was(stage: Stage) -> None:
    for _ in range(4):
        stage.shelf.add(APP)
    stage.line.room = 2
    assert stage.turns(nothing) == ["telemetry:app/1 1..1", "telemetry:app/1 2..2"]
    assert stage.shelf.sent == {APP: 2}
    stage.line.room = 10
    assert stage.turns(nothing) == ["telemetry:app/1 3..3", "telemetry:app/1 4..4"]


def test_a_store_that_is_away_is_waited_for(stage: Stage) -> None:
    stage.shelf.add(APP)
    stage.shelf.available = False
    assert stage.turns(nothing) == []
    stage.shelf.available = True
    assert stage.turns(nothing) == ["telemetry:app/1 1..1"]


def test_what_a_sync_said_while_the_store_was_away_is_asked_for_again(stage: Stage) -> None:
    """A store killed just then left the shipper waiting for a sync that nothing would ever bring."""
    stage.shelf.add(APP)
    stage.turns(nothing)
    stage.shelf.available = False
    stage.turns(stage.sync(held(1)), nothing)
    stage.shelf.available = True
    assert stage.turns(stage.after(AGAIN.delay_s(0, 1.0) + 0.1), nothing) == ["telemetry:app/1 1..1"]


def test_a_sync_about_a_stream_nobody_knows_changes_nothing(stage: Stage) -> None:
    stage.shelf.add(APP)
    assert stage.turns(stage.sync(held(9, Place("telemetry:other", 9))), nothing) == ["telemetry:app/1 1..1"]


def test_a_cloud_that_refuses_the_gap_as_well_is_asked_again_ever_more_rarely(stage: Stage) -> None:
    stage.shelf.add(APP)
    stage.turns(nothing)
    no = stage.sync(held(0, refused=(Refusal(first=1, last=1, reason="too_many_streams"),)))
    assert stage.turns(no, nothing) == ["telemetry:app/1 1..1"]  # the gap in its place
    assert stage.batches[0].gaps == (Gap(first=1, last=1, cause="too_many_streams"),)
    waits = []
    for _ in range(9):
        asked_at = stage.clock.now
        stage.turns(no, nothing)
        while not stage.turns(stage.after(10.0)):
            pass
        waits.append(stage.clock.now - asked_at)
        assert stage.batches[0].gaps == (Gap(first=1, last=1, cause="too_many_streams"),)
    assert waits == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]


def test_a_sync_of_many_streams_costs_one_look_at_the_buffer(stage: Stage) -> None:
    places = [Place("telemetry:app", epoch) for epoch in range(1, 41)]
    for place in places:
        stage.shelf.add(place)
        stage.shelf.sent[place] = stage.shelf.trimmed[place] = 1
    stage.turns(nothing)
    before = stage.shelf.looks
    stage.turns(stage.sync(*(held(1, place) for place in places)))
    assert stage.shelf.looks - before <= 2  # one for the sync, one for the turn after it


def test_what_a_restored_cloud_lost_is_looked_for_again_only_after_a_while(stage: Stage) -> None:
    stage.shelf.add(APP, count=3)
    stage.turns(nothing, stage.sync(held(3)), nothing)
    lost = stage.sync(held(1))
    assert stage.turns(lost, lost, lost, nothing) == ["telemetry:app/1 2..3"]
    assert stage.shelf.searches == 1
    assert stage.turns(stage.after(31.0), lost, nothing) == ["telemetry:app/1 2..3"]
