"""The buffer and the mover on a real Redis: numbers, cursors, trims, gaps, kills."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from broker.children import Child
from broker.messages import Instant, StreamHeld
from broker.payloads import SAMPLES, Sample, pack_samples, unpack_samples
from device.config import Paths, TelemetrySettings
from device.reconcile.wanted import IntakeAccess
from device.telemetry import servers
from device.telemetry.accounts import Accounts
from device.telemetry.buffer import Buffer, Place
from device.telemetry.connection import Client, RedisUnavailable
from device.telemetry.mover import Mover
from tests.harness.apps import section, service
from tests.harness.servers import program, wait_until

NOW = Instant(boot="0" * 32, mono_ms=1, wall_ms=2)
STREAM = "telemetry:hello"


@dataclass
class Bench:
    """Both Redis children as the worker runs them, with one app that may write."""

    paths: Paths
    accounts: Accounts
    access: IntakeAccess
    intake: Client
    buffer: Buffer
    mover: Mover
    intake_server: Child
    store_server: Child

    def app(self) -> redis.Redis:
        return redis.Redis(
            unix_socket_path=str(self.paths.intake_socket), username=self.access.user, password=self.access.password
        )

    def move(self) -> None:
        self.mover.move(STREAM)

    def place(self) -> Place:
        return next(e.place for e in self.buffer.extents() if e.place.stream == STREAM)

    def numbers(self) -> list[str]:
        """Return the field `n` of everything in the buffer, all epochs, oldest first."""
        return [
            sample.fields["n"]
            for extent in reversed(self.buffer.extents())
            for batch in self.buffer.read(extent.place, after=0, count=1000)
            if batch.payload
            for sample in unpack_samples(batch.payload)
        ]


@pytest.fixture
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    program("redis-server")
    paths = Paths(tmp_path_factory.mktemp("d"))
    paths.prepare()
    accounts = Accounts(paths.telemetry / "accounts.json", socket_folder=paths.intake_folder)
    made = section({"web": service(telemetry={"access": "socket"})})
    access = accounts.access_for([made])[made.instance]
    intake = Client(paths.intake_socket, user=servers.WORKER_USER, password=accounts.worker_password)
    buffer = Buffer(Client(paths.store_socket), epoch_file=paths.telemetry / "epoch", now=lambda: NOW)
    settings = TelemetrySettings(intake_megabytes=8, store_megabytes=64)
    store = servers.store_server(paths, settings, before_start=buffer.suspend, on_up=buffer.begin_epoch)
    server = servers.intake_server(
        paths, settings, password=accounts.worker_password, on_up=lambda: accounts.apply(intake)
    )
    store.start()
    server.start()
    mover = Mover(intake, buffer, streams=lambda: accounts.streams, linger_s=0, moved=lambda: None)
    yield Bench(paths, accounts, access, intake, buffer, mover, server, store)
    server.stop()
    store.stop()


def write(bench: Bench, numbers: range) -> None:
    app = bench.app()
    for n in numbers:
        app.xadd(STREAM, {"n": n})
    app.close()


def test_samples_are_numbered_from_one_and_packed_whole(bench: Bench) -> None:
    write(bench, range(3))
    bench.move()
    (batch,) = bench.buffer.read(bench.place(), after=0, count=10)
    assert (batch.first, batch.last, batch.format, batch.at) == (1, 3, SAMPLES, NOW)
    assert bench.numbers() == ["0", "1", "2"]
    assert bench.intake.entries(STREAM) == []


def test_many_samples_become_several_batches_without_a_hole(bench: Bench) -> None:
    pipeline = bench.app().pipeline(transaction=False)
    for n in range(1201):
        pipeline.xadd(STREAM, {"n": n})
    pipeline.execute()
    bench.move()
    assert bench.numbers() == [str(n) for n in range(1201)]
    batches = bench.buffer.read(bench.place(), after=0, count=10)
    assert [(b.first, b.last) for b in batches] == [(1, 500), (501, 1000), (1001, 1201)]


def test_a_crash_between_commit_and_trim_repeats_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    write(bench, range(5))
    real = Client.trim_through
    calls = []

    def crash_after_the_commit(self: Client, key: str, entry_id: str) -> int:
        calls.append(entry_id)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(self, key, entry_id)

    monkeypatch.setattr(Client, "trim_through", crash_after_the_commit)
    with pytest.raises(KeyboardInterrupt):
        bench.move()
    monkeypatch.undo()
    write(bench, range(5, 7))
    bench.move()
    assert bench.numbers() == [str(n) for n in range(7)]


def test_what_the_app_erased_itself_becomes_a_gap_with_the_right_count(bench: Bench) -> None:
    write(bench, range(4))
    bench.move()
    write(bench, range(4, 10))
    app = bench.app()
    app.xadd(STREAM, {"n": 10}, maxlen=1, approximate=False)
    bench.move()
    batch = bench.buffer.read(bench.place(), after=4, count=10)[0]
    assert [(gap.first, gap.last, gap.cause) for gap in batch.gaps] == [(5, 10, "trimmed_by_app")]
    assert (batch.first, batch.last) == (5, 11)
    assert bench.numbers() == ["0", "1", "2", "3", "10"]


def test_killing_the_store_loses_nothing_and_begins_a_new_epoch(bench: Bench) -> None:
    write(bench, range(3))
    bench.move()
    before = bench.place().epoch
    starts = bench.store_server.starts
    bench.store_server.signal(9)
    wait_until(lambda: bench.store_server.starts > starts and _answers(bench.buffer), what="the store is back")
    write(bench, range(3, 6))
    wait_until(lambda: _moved(bench), what="the mover works again")
    assert bench.numbers() == [str(n) for n in range(6)]
    epochs = [extent.place.epoch for extent in bench.buffer.extents()]
    assert epochs[-1] == before
    assert len(set(epochs)) == 2


def test_killing_the_intake_loses_nothing_that_was_confirmed(bench: Bench) -> None:
    write(bench, range(3))
    bench.move()
    write(bench, range(3, 6))
    starts = bench.intake_server.starts
    bench.intake_server.signal(9)
    wait_until(lambda: bench.intake_server.starts > starts and _moved(bench), what="the intake is back")
    wait_until(lambda: bench.numbers() == [str(n) for n in range(6)], what="all samples are in the buffer")
    app = bench.app()
    assert app.xadd(STREAM, {"n": 6})


def test_nothing_is_trimmed_that_was_not_sent(bench: Bench) -> None:
    write(bench, range(3))
    bench.move()
    place = bench.place()
    forged = StreamHeld(stream=STREAM, epoch=place.epoch, contiguous=2**62)
    assert bench.buffer.apply_held(forged) == 0
    bench.buffer.note_sent(place, 3)
    assert bench.buffer.apply_held(StreamHeld(stream=STREAM, epoch=place.epoch, contiguous=3)) == 1
    assert bench.numbers() == []
    assert bench.buffer.kept()[0].first == 4


def test_acked_ranges_above_a_hole_are_trimmed_and_the_hole_is_kept(bench: Bench) -> None:
    for n in range(3):
        write(bench, range(n, n + 1))
        bench.move()
    place = bench.place()
    bench.buffer.note_sent(place, 3)
    held = StreamHeld(stream=STREAM, epoch=place.epoch, contiguous=1, ranges=((3, 3),))
    assert bench.buffer.apply_held(held) == 2
    assert bench.numbers() == ["1"]


def test_what_a_restored_store_lost_is_found_by_number(bench: Bench) -> None:
    for n in range(4):
        write(bench, range(n, n + 1))
        bench.move()
    place = bench.place()
    bench.buffer.note_sent(place, 4)
    bench.buffer.apply_held(StreamHeld(stream=STREAM, epoch=place.epoch, contiguous=3))
    held = StreamHeld(stream=STREAM, epoch=place.epoch, contiguous=1)
    assert bench.buffer.lost_by_cloud(held) == [(2, 3)]


def test_a_full_intake_is_loud_for_the_app_and_works_again_after_a_move(bench: Bench) -> None:
    app = bench.app()
    with pytest.raises(redis.exceptions.OutOfMemoryError):  # noqa: PT012
        for n in range(100_000):
            app.xadd(STREAM, {"n": n, "pad": "x" * 4000})
    wait_until(lambda: _moved(bench), what="the buffer has taken it over")
    assert app.xadd(STREAM, {"n": "after"})


@pytest.mark.parametrize(
    "command",
    [
        ("XADD", "telemetry:other", "*", "n", "1"),
        ("XRANGE", STREAM, "-", "+"),
        ("DEL", STREAM),
        ("SET", STREAM, "x"),
        ("FLUSHALL",),
        ("CONFIG", "GET", "*"),
        ("ACL", "LIST"),
        ("SUBSCRIBE", "x"),
        ("EVAL", "return 1", "0"),
        ("SET", "lock:other", "x"),
    ],
)
def test_an_app_may_do_nothing_but_append_to_its_own_stream(bench: Bench, command: tuple[str, ...]) -> None:
    with pytest.raises(redis.exceptions.NoPermissionError):
        bench.app().execute_command(*command)  # type: ignore[no-untyped-call]


def test_an_app_may_hold_its_own_lock(bench: Bench) -> None:
    app = bench.app()
    assert app.set("lock:hello", "busy")
    assert app.get("lock:hello") == b"busy"


def test_nobody_gets_in_without_an_account(bench: Bench) -> None:
    stranger = redis.Redis(unix_socket_path=str(bench.paths.intake_socket))
    with pytest.raises(redis.exceptions.AuthenticationError):
        stranger.ping()


def test_a_store_that_is_away_is_said_and_nothing_is_numbered(bench: Bench) -> None:
    bench.store_server.stop()
    with pytest.raises(RedisUnavailable):
        bench.buffer.append(STREAM, count=1, format=SAMPLES, payload=pack_samples([Sample(1, {})]))


def test_the_mover_thread_moves_what_arrives(bench: Bench) -> None:
    stopping = threading.Event()
    thread = threading.Thread(target=bench.mover.run, args=(stopping,))
    thread.start()
    write(bench, range(10))
    wait_until(lambda: len(_numbers(bench)) == 10, what="ten samples are in the buffer")
    stopping.set()
    thread.join(10)


def _numbers(bench: Bench) -> list[str]:
    return bench.numbers()


def _answers(buffer: Buffer) -> bool:
    try:
        buffer.extents()
    except RedisUnavailable:
        return False
    return True


def _moved(bench: Bench) -> bool:
    try:
        bench.move()
    except RedisUnavailable:
        return False
    return True


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
        write(bench, range(n, n + 1))
        bench.move()
        place = bench.buffer.extents()[0].place
        if n == 1:
            kept.append(place.epoch)  # never acked
        else:
            bench.buffer.note_sent(place, 1)
            bench.buffer.apply_held(StreamHeld(stream=STREAM, epoch=place.epoch, contiguous=1))
        bench.buffer.begin_epoch()
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
