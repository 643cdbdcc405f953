"""The buffer and the mover on a real Redis: numbers, cursors, trims, gaps, kills."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
import redis

from broker.messages import StreamHeld
from broker.payloads import SAMPLES, Sample, pack_samples, unpack_samples
from device.config import Paths
from device.telemetry.connection import Client, Command, RedisUnavailable
from device.telemetry.mover import SAMPLE_BYTES_MAX
from tests.harness.servers import wait_until
from tests.harness.telemetry import NOW, STREAM, Bench


def test_samples_are_numbered_from_one_and_packed_whole(bench: Bench) -> None:
    bench.write(range(3))
    bench.move()
    (batch,) = bench.buffer.read(bench.place(), after=0, count=10)
    assert (batch.first, batch.last, batch.format, batch.at) == (1, 3, SAMPLES, NOW)
    assert bench.numbers() == ["0", "1", "2"]
    assert bench.intake.entries(STREAM) == []


def test_many_samples_become_several_batches_without_a_hole(bench: Bench) -> None:
    pipeline = bench.app().pipeline(transaction=False)
    for n in range(4401):
        pipeline.xadd(STREAM, {"n": n})
    pipeline.execute()
    bench.move()
    assert bench.numbers() == [str(n) for n in range(4401)]
    batches = bench.buffer.read(bench.place(), after=0, count=10)
    assert [(b.first, b.last) for b in batches] == [(1, 2000), (2001, 4000), (4001, 4401)]


def test_samples_of_any_bytes_come_back_as_they_were_and_too_large_ones_are_named(bench: Bench) -> None:
    app, noise = bench.app(), Random(1).randbytes(SAMPLE_BYTES_MAX - 1)  # noqa: S311 - any noise does
    rows = [{b"raw": bytes(range(256))}, {b"\xff\xfe": b""}, {b"text": "é".encode(), b"": b"\n"}, {b"n": noise}]
    for row in (*rows, {"n": noise + b".."}, {"n": "5"}):
        app.xadd(STREAM, row)
    bench.move()
    packed = [batch.payload for batch in bench.buffer.read(bench.place(), after=0, count=9) if batch.payload]
    found = [sample.fields for payload in packed for sample in unpack_samples(payload)]
    told = [{os.fsencode(name): os.fsencode(value) for name, value in fields.items()} for fields in found]
    assert told == [*rows, {b"n": b"5"}]
    assert bench.gaps() == [(5, 5, "too_large")]


def test_a_crash_between_commit_and_trim_repeats_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.write(range(5))

    def crash(self: Client, key: str, entry_id: str) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(Client, "trim_through", crash)
    with pytest.raises(KeyboardInterrupt):
        bench.move()
    monkeypatch.undo()
    assert len(bench.intake.entries(STREAM)) == 5
    bench.write(range(5, 7))
    bench.move()
    assert bench.numbers() == [str(n) for n in range(7)]
    assert bench.gaps() == []


def test_after_a_lost_tail_of_the_intake_ids_go_on_above_what_is_moved(bench: Bench) -> None:
    bench.app().xadd(STREAM, {"n": "0"}, id="10-0")
    bench.move()

    def lost() -> None:
        bench.app().xadd(STREAM, {"n": "1"}, id="20-0")
        bench.move()

    bench.power_cut_of_the_intake(lost)
    app = bench.app()
    with pytest.raises(redis.exceptions.ResponseError, match="equal or smaller"):
        app.xadd(STREAM, {"n": "2"}, id="15-0")
    app.xadd(STREAM, {"n": "3"}, id="20-1")
    app.xadd(STREAM, {"n": "4"}, maxlen=1, approximate=False)
    bench.move()
    assert (bench.numbers(), bench.gaps()) == (["0", "1", "4"], [(3, 3, "trimmed_by_app")])


def test_what_an_intake_that_began_anew_takes_is_read_before_anything_is_trimmed(bench: Bench) -> None:
    bench.write(range(3))
    bench.move()
    bench.intake.delete(STREAM)
    app = bench.app()
    for n in range(3, 6):  # ids below the cursor: as after a boot in 1970, before the clock is set
        app.xadd(STREAM, {"n": n}, id=f"15-{n}")
    bench.move()
    assert (bench.numbers(), bench.gaps()) == ([str(n) for n in range(6)], [])


def test_killing_the_store_loses_nothing_and_begins_a_new_epoch(bench: Bench) -> None:
    bench.write(range(3))
    bench.move()
    before = bench.place().epoch
    starts = bench.store_server.child.starts
    bench.store_server.child.signal(9)
    wait_until(
        lambda: bench.store_server.child.starts > starts and bench.answers(), what="the store is back", timeout_s=60
    )
    bench.write(range(3, 6))
    wait_until(bench.moved, what="the mover works again")
    assert bench.numbers() == [str(n) for n in range(6)]
    epochs = [extent.place.epoch for extent in bench.buffer.extents()]
    assert epochs[-1] == before
    assert len(set(epochs)) == 2


def test_killing_the_intake_loses_nothing_that_was_confirmed(bench: Bench) -> None:
    bench.write(range(3))
    bench.move()
    bench.write(range(3, 6))
    starts = bench.intake_server.child.starts
    bench.intake_server.child.signal(9)
    wait_until(
        lambda: bench.intake_server.child.starts > starts and bench.moved(), what="the intake is back", timeout_s=60
    )
    wait_until(
        lambda: bench.numbers() == [str(n) for n in range(6)], what="all samples are in the buffer", timeout_s=60
    )
    wait_until(lambda: bench.intake_server.child.is_up, what="the intake counts as ready, with its accounts")
    assert bench.app().xadd(STREAM, {"n": 6})


def test_nothing_is_trimmed_that_was_not_sent(bench: Bench) -> None:
    bench.write(range(3))
    bench.move()
    place = bench.place()
    forged = StreamHeld(stream=STREAM, epoch=place.epoch, contiguous=2**62)
    assert bench.buffer.apply_held(forged) == 0
    bench.buffer.note_sent(place, 3)
    assert bench.buffer.apply_held(StreamHeld(stream=STREAM, epoch=place.epoch, contiguous=3)) == 1
    assert bench.numbers() == []
    assert bench.buffer.kept()[0].first == 4


def test_a_store_that_goes_away_while_it_is_trimmed_has_done_all_of_it_or_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trimmed and not said to be so, a batch was neither sent again nor ever done with."""
    bench.write(range(3))
    bench.move()
    place = bench.place()
    bench.buffer.note_sent(place, 3)
    client = bench.buffer._client
    calls: list[str] = []

    def away(*arguments: object, **keywords: object) -> None:
        calls.append("second")
        raise RedisUnavailable("away")

    real = client.transaction

    def once(commands: Sequence[Command]) -> list[Any]:
        if calls:
            away()
        calls.append("first")
        return real(commands)

    monkeypatch.setattr(client, "trim_through", away)
    monkeypatch.setattr(client, "transaction", once)
    assert bench.buffer.apply_held(StreamHeld(stream=STREAM, epoch=place.epoch, contiguous=3)) == 1
    monkeypatch.undo()
    assert calls == ["first"]
    assert bench.buffer.kept()[0].first == 4


def test_acked_ranges_above_a_hole_are_trimmed_and_the_hole_is_kept(bench: Bench) -> None:
    for n in range(3):
        bench.write(range(n, n + 1))
        bench.move()
    place = bench.place()
    bench.buffer.note_sent(place, 3)
    held = StreamHeld(stream=STREAM, epoch=place.epoch, contiguous=1, ranges=((3, 3),))
    assert bench.buffer.apply_held(held) == 2
    assert bench.numbers() == ["1"]


def test_what_a_restored_store_lost_is_found_by_number(bench: Bench) -> None:
    for n in range(4):
        bench.write(range(n, n + 1))
        bench.move()
    place = bench.place()
    bench.buffer.note_sent(place, 4)
    bench.buffer.apply_held(StreamHeld(stream=STREAM, epoch=place.epoch, contiguous=3))
    held = StreamHeld(stream=STREAM, epoch=place.epoch, contiguous=1)
    assert bench.buffer.lost_by_cloud(held) == [(2, 3)]


def test_a_store_that_is_away_is_said_and_nothing_is_numbered(bench: Bench) -> None:
    bench.store_server.child.stop()
    with pytest.raises(RedisUnavailable):
        bench.buffer.append(STREAM, count=1, format=SAMPLES, payload=pack_samples([Sample(1, {})]))


def test_the_mover_thread_moves_what_arrives(bench: Bench) -> None:
    stopping = threading.Event()
    thread = threading.Thread(target=bench.mover.run, args=(stopping,))
    thread.start()
    bench.write(range(10))
    wait_until(lambda: len(bench.numbers()) == 10, what="ten samples are in the buffer")
    stopping.set()
    bench.mover.poke()
    thread.join(10)
    assert not thread.is_alive()


def test_a_poke_ends_a_wait_for_samples_whenever_it_comes(bench: Bench) -> None:
    stopping = threading.Event()
    thread = threading.Thread(target=bench.mover.run, args=(stopping,))
    thread.start()
    for _ in range(20):
        bench.looks = 0
        bench.mover.poke()
        wait_until(lambda: bench.looks, what="the mover looks at the streams again")
    stopping.set()
    bench.mover.poke()
    thread.join(10)
    assert not thread.is_alive()


def test_paths_that_no_socket_can_have_are_refused_by_name() -> None:
    from broker.errors import Refused

    with pytest.raises(Refused, match="too long"):
        Paths(Path("/tmp") / ("x" * 120)).prepare()


def test_drained_epochs_are_forgotten_beyond_the_newest_and_undrained_ones_never(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("device.telemetry.buffer.EPOCHS_KEPT", 2)
    kept = []
    for n in range(5):
        bench.write(range(n, n + 1))
        bench.move()
        place = bench.buffer.extents()[0].place
        if n == 1:
            kept.append(place.epoch)  # never acked
        else:
            bench.buffer.note_sent(place, 1)
            bench.buffer.apply_held(StreamHeld(stream=STREAM, epoch=place.epoch, contiguous=1))
        bench.buffer.begin_epoch()
        bench.buffer.name_losses()
    epochs = [extent.place.epoch for extent in bench.buffer.extents()]
    assert kept[0] in epochs
    assert len(epochs) == 3
    assert bench.numbers() == ["1"]


def test_a_full_store_is_waited_for_and_makes_room_by_trimming(bench: Bench) -> None:
    noise = bytes(range(256)) * 400
    with pytest.raises(RedisUnavailable):  # noqa: PT012
        for _ in range(2000):
            place = bench.buffer.append(STREAM, count=1, format=SAMPLES, payload=noise)
    last = bench.buffer.extents()[0].last
    bench.buffer.note_sent(place, last)
    assert bench.buffer.apply_held(StreamHeld(stream=STREAM, epoch=place.epoch, contiguous=last)) > 0
    assert bench.buffer.append(STREAM, count=1, format=SAMPLES, payload=noise) == place
