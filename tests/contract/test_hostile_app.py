"""What a hostile app can do to the intake: to itself at most, and it is counted. On a real Redis."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable

import pytest
import redis

from broker.clock import SystemClock
from device.telemetry.forwarder import CONNECTIONS_MAX as TCP_MAX
from device.telemetry.forwarder import Forwarders
from device.telemetry.mover import Mover
from device.telemetry.shares import Shares
from tests.harness.servers import free_port, wait_until
from tests.harness.telemetry import OTHER_STREAM, SECTIONS, STREAM, Bench
from tests.unit.device.fakes import FakeClock

SEQUENCE_MAX = 2**64 - 1
ALLOWED = 25  # connections of each of two apps, with the smallest intake


def test_what_the_app_erased_itself_becomes_a_gap_with_the_right_count(bench: Bench) -> None:
    bench.write(range(4))
    bench.move()
    bench.write(range(4, 10))
    app = bench.app()
    app.xadd(STREAM, {"n": 10}, maxlen=1, approximate=False)
    bench.move()
    batch = bench.buffer.read(bench.place(), after=4, count=10)[0]
    assert [(gap.first, gap.last, gap.cause) for gap in batch.gaps] == [(5, 10, "trimmed_by_app")]
    assert (batch.first, batch.last) == (5, 11)
    assert bench.numbers() == ["0", "1", "2", "3", "10"]


def test_a_full_intake_is_loud_for_the_app_and_works_again_after_a_move(bench: Bench) -> None:
    app = bench.app()
    with pytest.raises(redis.exceptions.OutOfMemoryError):  # noqa: PT012
        for n in range(100_000):
            app.xadd(STREAM, {"n": n, "pad": "x" * 4000})
    wait_until(bench.moved, what="the buffer has taken it over")
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
        ("SET", "lock:hello", "x"),
        ("HGETALL", "marks"),
    ],
)
def test_an_app_may_do_nothing_but_append_to_its_own_stream(bench: Bench, command: tuple[str, ...]) -> None:
    with pytest.raises(redis.exceptions.NoPermissionError):
        bench.app().execute_command(*command)


def test_nobody_gets_in_without_an_account(bench: Bench) -> None:
    stranger = bench.client()
    with pytest.raises(redis.exceptions.AuthenticationError):
        stranger.ping()


def test_the_greatest_number_of_a_millisecond_is_moved_once(bench: Bench) -> None:
    app = bench.app()
    app.xadd(STREAM, {"n": 0}, id=f"5-{SEQUENCE_MAX}")
    bench.move()
    app.xadd(STREAM, {"n": 1})
    bench.move()
    assert bench.numbers() == ["0", "1"]
    assert bench.intake.entries(STREAM) == []


def test_an_app_that_uses_up_all_ids_is_moved_once_and_may_go_on(bench: Bench) -> None:
    app = bench.app()
    app.xadd(STREAM, {"n": 0}, id=f"{SEQUENCE_MAX}-{SEQUENCE_MAX - 1}")
    app.xadd(STREAM, {"n": 1})
    with pytest.raises(redis.exceptions.ResponseError, match="exhausted"):
        app.xadd(STREAM, {"n": 2})
    bench.move()
    bench.move()
    for n in range(2, 4):
        app.xadd(STREAM, {"n": n})
    app.xadd(STREAM, {"n": 4}, maxlen=1, approximate=False)
    bench.move()
    assert bench.numbers() == ["0", "1", "4"]
    lost = [
        (gap.first, gap.last, gap.cause)
        for batch in bench.buffer.read(bench.place(), after=0, count=9)
        for gap in batch.gaps
    ]
    assert lost == [(3, 4, "trimmed_by_app")]


class Policed:
    """The mover's thread with shares enforced, while one app floods and another one goes about its work."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.changes = self.written = 0
        self.shares = Shares(
            bench.intake, bench.accounts, bytes_max=8 << 20, clock=SystemClock(), changed=self._changed
        )
        self.mover = Mover(
            bench.intake,
            bench.buffer,
            streams=lambda: bench.accounts.streams,
            linger_s=0.2,
            moved=lambda: None,
            enforce=self.shares.enforce,
        )
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self.mover.run, args=(self._stopping,))

    def _changed(self) -> None:
        self.changes += 1

    def __enter__(self) -> Policed:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self.mover.poke()
        self._thread.join(20)
        assert not self._thread.is_alive()

    def flood(self, *, until: Callable[[], object]) -> None:
        """Write as much as it can as one app, and a sample now and then as the other one."""
        hostile, calm = self.bench.app(), self.bench.app(OTHER_STREAM)
        deadline = time.monotonic() + 60
        while not until():
            assert time.monotonic() < deadline, "the flood was not noticed"
            with contextlib.suppress(redis.exceptions.RedisError):  # what becomes of the hostile one is its own affair
                pipeline = hostile.pipeline(transaction=False)
                for _ in range(50):
                    pipeline.xadd(STREAM, {"n": "x" * 1000})
                pipeline.execute()
            calm.xadd(OTHER_STREAM, {"n": self.written})
            self.written += 1


def test_an_app_that_fills_the_memory_is_cut_off_and_no_write_of_another_fails(bench: Bench) -> None:
    bench.store_server.child.stop()  # so that nothing is moved, as with a full store
    with Policed(bench) as policed:
        policed.flood(until=lambda: "telemetry:hello" in policed.shares.trouble)
        noticed = policed.written
        policed.flood(until=lambda: policed.written == noticed + 20)
        with pytest.raises(redis.exceptions.AuthenticationError):
            bench.app().ping()
        assert policed.changes == 1
        bench.start_store()
        wait_until(lambda: not policed.shares.trouble, what="it is let in again", timeout_s=60)
        assert bench.app().xadd(STREAM, {"n": "after"})
        wait_until(lambda: len(bench.numbers(OTHER_STREAM)) == policed.written, what="all of the other is moved")
    assert bench.numbers(OTHER_STREAM) == [str(n) for n in range(policed.written)]
    assert bench.gaps(OTHER_STREAM) == []


def test_who_is_cut_off_again_waits_longer(bench: Bench) -> None:
    clock = FakeClock()
    shares = Shares(bench.intake, bench.accounts, bytes_max=8 << 20, clock=clock, changed=lambda: None)
    waits = []
    for _ in range(3):
        app = bench.app()
        pipeline = app.pipeline(transaction=False)
        for _ in range(4000):
            pipeline.xadd(STREAM, {"n": "x" * 1000})
        pipeline.execute()
        due = shares.enforce()
        assert shares.trouble
        waits.append(due)
        bench.move()
        assert shares.enforce() is not None  # all is moved, and it is not let in yet
        clock.now += due or 0
        shares.enforce()
        assert not shares.trouble
    assert waits == [1.0, 2.0, 4.0]


def test_erasing_all_with_maxlen_zero_harms_nobody_else_and_is_counted_to_the_sample(bench: Bench) -> None:
    app = bench.app()
    for n in range(7):
        app.xadd(STREAM, {"n": n})
    app.xadd(STREAM, {"n": 7}, maxlen=0, approximate=False)
    bench.write(range(5), OTHER_STREAM)
    bench.move()
    bench.move(OTHER_STREAM)
    app.xadd(STREAM, {"n": 8})
    app.xadd(STREAM, {"n": 9}, minid=2**60, approximate=False)
    app.xadd(STREAM, {"n": 10})
    bench.move()
    assert (bench.numbers(), bench.gaps()) == (["10"], [(1, 8, "trimmed_by_app"), (9, 10, "trimmed_by_app")])
    assert (bench.numbers(OTHER_STREAM), bench.gaps(OTHER_STREAM)) == ([str(n) for n in range(5)], [])


@pytest.mark.parametrize("words", [("AUTH", "default", ""), ("AUTH", "", ""), ("HELLO", "3"), ("AUTH", "worker", "x")])
def test_the_default_user_and_guesses_get_nothing(bench: Bench, words: tuple[str, ...]) -> None:
    bench.write(range(1))
    stranger = bench.client()
    with pytest.raises(redis.exceptions.RedisError):
        stranger.execute_command(*words)
    with socket.socket(socket.AF_UNIX) as raw:
        raw.connect(str(bench.paths.intake_socket))
        for command in (b"XADD telemetry:hello * n 1", b"XRANGE telemetry:hello - +", b"ACL LIST", b"CONFIG GET *"):
            raw.sendall(command + b"\r\n")
            assert raw.recv(1000).startswith(b"-NOAUTH")


def test_half_sent_values_of_many_connections_take_nothing_from_others(bench: Bench) -> None:
    access = next(each for each in bench.accesses.values() if each.stream == STREAM)
    held = []
    for _ in range(100):
        raw = socket.socket(socket.AF_UNIX)
        raw.connect(str(bench.paths.intake_socket))
        raw.settimeout(0.2)
        held.append(raw)
        try:
            raw.sendall(f"AUTH {access.user} {access.password}\r\n".encode())
            raw.recv(100)
            raw.sendall(b"*5\r\n$4\r\nXADD\r\n$15\r\ntelemetry:hello\r\n$1\r\n*\r\n$1\r\nn\r\n$1000000\r\n")
            raw.sendall(b"x" * 900_000)
        except OSError:
            continue  # the server drops who holds too much
    bench.write(range(50), OTHER_STREAM)
    bench.move(OTHER_STREAM)
    assert bench.numbers(OTHER_STREAM) == [str(n) for n in range(50)]
    for raw in held:
        raw.close()


def test_an_app_that_takes_all_connections_loses_those_beyond_its_share(bench: Bench) -> None:
    clock, told = FakeClock(), []
    shares = Shares(bench.intake, bench.accounts, bytes_max=8 << 20, clock=clock, changed=lambda: told.append(1))
    calm = bench.app(OTHER_STREAM)
    calm.ping()
    many = [bench.app() for _ in range(ALLOWED + 16)]
    for one in many:
        one.ping()
    shares.enforce()
    users = [user for _, user in bench.intake.connections()]
    hostile, other = (bench.accesses[section.instance].user for section in SECTIONS)
    assert (users.count(hostile), users.count(other)) == (ALLOWED, 1)
    many[0].ping()  # the oldest stay
    assert shares.trouble == f"connections ended beyond an app's share: {STREAM} (16)"
    assert calm.xadd(OTHER_STREAM, {"n": 1})
    clock.now += 61
    shares.enforce()
    assert (shares.trouble, len(told)) == ("", 2)


def test_an_app_that_writes_faster_than_it_may_is_cut_off_for_as_long_as_it_was_ahead(bench: Bench) -> None:
    clock = FakeClock()
    shares = Shares(bench.intake, bench.accounts, bytes_max=8 << 20, clock=clock, changed=lambda: None, rate=100)

    def write(count: int) -> None:
        pipeline = bench.app().pipeline(transaction=False)
        for n in range(count):
            pipeline.xadd(STREAM, {"n": n})
        pipeline.execute()
        shares.enforce()
        bench.move()

    def said() -> str:
        return shares.trouble

    shares.enforce()
    write(900)
    clock.now += 5
    write(500)
    assert said() == ""
    write(700)
    assert STREAM in said()
    assert OTHER_STREAM not in said()
    clock.now += 5.9
    shares.enforce()
    assert STREAM in said()
    clock.now += 1
    shares.enforce()
    assert said() == ""
    write(50)
    assert said() == ""


def test_connections_beyond_those_of_a_network_are_closed_counted_and_told(bench: Bench) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can listen on a device of its choice")
    told: list[int] = []
    forwarders = Forwarders(bench.paths.intake_socket, port=free_port(), crowded=lambda: told.append(1))
    forwarders.ensure({"network": "lo"})
    assert forwarders.errors == {}
    links = [socket.create_connection(("127.0.0.1", forwarders._port)) for _ in range(TCP_MAX)]
    wait_until(bench.intake.connections, what="they are connected")
    for link in links:
        link.sendall(b"PING\r\n")
        assert link.recv(100).startswith(b"-NOAUTH")
    for _ in range(2):
        with socket.create_connection(("127.0.0.1", forwarders._port)) as over:
            assert over.recv(100) == b""
    assert forwarders.turned_away == {"network": f"lo: 2 connections closed, as {TCP_MAX} were in use"}
    assert told == [1]
    for link in links:
        link.close()
    forwarders.close()
