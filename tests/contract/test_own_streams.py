"""The worker's own streams on a real store: events arrive once and in order, whatever the store does meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.clock import SystemClock
from broker.payloads import unpack_samples
from device import host
from device.telemetry.buffer import Buffer
from device.telemetry.connection import RedisUnavailable
from device.telemetry.own import CONTAINERS, EVENTS, METRICS, WAITING_MAX, Events, Metrics
from tests.harness.telemetry import Bench


def events_of(bench: Bench) -> Events:
    return Events(bench.buffer, clock=SystemClock(), written=lambda: None)


def fields(bench: Bench, stream: str) -> list[dict[str, str]]:
    return [
        sample.fields
        for extent in reversed(bench.buffer.extents())
        if extent.place.stream == stream
        for batch in bench.buffer.read(extent.place, after=0, count=100)
        if batch.payload
        for sample in unpack_samples(batch.payload)
    ]


def test_events_are_numbered_in_the_order_in_which_they_were_told(bench: Bench) -> None:
    events = events_of(bench)
    for n in range(700):
        events.tell({"event": "condition", "n": str(n)})
    assert events.write()
    assert [event["n"] for event in fields(bench, EVENTS)] == [str(n) for n in range(700)]


def test_a_store_that_is_away_loses_no_event(bench: Bench) -> None:
    events = events_of(bench)
    bench.store_server.child.stop()
    events.tell({"n": "1"})
    assert not events.write()
    events.tell({"n": "2"})
    bench.start_store()
    assert events.write()
    assert [event["n"] for event in fields(bench, EVENTS)] == ["1", "2"]


def test_an_answer_that_is_lost_writes_no_event_twice(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    events, append = events_of(bench), Buffer.append

    def unanswered(self: Buffer, *args: object, **named: object) -> None:
        append(self, *args, **named)  # type: ignore[arg-type]
        raise RedisUnavailable("the answer is lost")

    monkeypatch.setattr(Buffer, "append", unanswered)
    events.tell({"n": "1"})
    assert not events.write()
    monkeypatch.undo()
    events.tell({"n": "2"})
    assert events.write()
    assert [event["n"] for event in fields(bench, EVENTS)] == ["1", "2"]


def test_events_beyond_what_may_wait_are_a_gap(bench: Bench) -> None:
    events = events_of(bench)
    for n in range(WAITING_MAX + 7):
        events.tell({"n": str(n)})
    assert events.write()
    assert bench.gaps(EVENTS) == [(1, 7, "event_overflow")]
    assert fields(bench, EVENTS)[0] == {"n": "7"}


def test_the_machine_is_measured(bench: Bench, tmp_path: Path) -> None:
    metrics = Metrics(
        bench.buffer,
        stream=METRICS,
        usage=lambda: [host.usage(tmp_path)],
        every_s=1,
        clock=SystemClock(),
        written=lambda: None,
    )
    metrics.write()
    (sample,) = fields(bench, METRICS)
    assert float(sample["cpu_percent"]) >= 0
    assert int(sample["memory_used_bytes"]) > 1_000_000
    assert int(sample["disk_free_bytes"]) > 0


def test_what_nobody_tells_is_left_out(bench: Bench) -> None:
    answers: list[list[dict[str, str]]] = [[{"service": "web", "cpu_s": "1.5"}, {"service": "db", "cpu_s": "2.5"}], []]
    metrics = Metrics(
        bench.buffer,
        stream=CONTAINERS,
        usage=lambda: answers.pop(0),
        every_s=1,
        clock=SystemClock(),
        written=lambda: None,
    )
    metrics.write()
    metrics.write()
    assert [sample["service"] for sample in fields(bench, CONTAINERS)] == ["web", "db"]
