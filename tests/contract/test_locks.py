"""Update locks by file and by a real Redis: what holds, for how long, and who is told of the end."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import redis

from device.platform.locks import Locks
from device.telemetry.accounts import lock_key_of
from tests.harness.servers import wait_until
from tests.harness.telemetry import SECTIONS, Bench
from tests.unit.device.fakes import BOOT, FakeClock

HELLO, OTHER = (section.instance for section in SECTIONS)
MAX_S = 1000.0


class Door:
    """Locks of two apps on a clock that a test moves; `freed` counts how often reconcile was woken."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.clock = FakeClock()
        self.freed = 0
        self.locks = self.fresh()

    def fresh(self, *, boot: str = BOOT) -> Locks:
        """Return what a worker has that starts now."""
        locks = Locks(
            self.bench.paths.state / "locks",
            intake=self.bench.intake,
            memory=self.bench.paths.state / "locks.json",
            boot=boot,
            max_s=MAX_S,
            clock=self.clock,
            freed=self._freed,
        )
        locks.load()
        locks.prepare([HELLO, OTHER], with_keys=[HELLO, OTHER])
        return locks

    def _freed(self) -> None:
        self.freed += 1

    def file(self, text: str = "owner=f\nreason=busy\nseconds=100\n", instance: str = HELLO) -> Path:
        path = self.locks.folder(instance) / "update"
        path.write_text(text)
        return path

    def hold(self, **fields: Any) -> Any:
        app = self.bench.app()
        app.set(lock_key_of(HELLO), "\n".join(f"{name}={value}" for name, value in fields.items()))
        return app

    def told(self, instance: str = HELLO) -> tuple[str, str, float] | None:
        held = self.locks.lock_of(instance)
        return None if held is None else (held.owner, held.reason, held.remaining_s)


@pytest.fixture
def door(bench: Bench) -> Door:
    return Door(bench)


def test_without_file_and_key_there_is_no_lock(door: Door) -> None:
    assert door.told() is None


def test_a_file_is_a_lock_until_it_is_removed(door: Door) -> None:
    file = door.file()
    assert door.told() == ("f", "busy", 100.0)
    assert door.told(OTHER) is None
    door.clock.now += 30
    assert door.told() == ("f", "busy", 70.0)
    file.unlink()
    assert door.told() is None


def test_a_key_is_a_lock_until_it_is_removed_or_expires(door: Door) -> None:
    app = door.hold(owner="k", reason="busy", seconds=50)
    assert door.told() == ("k", "busy", 50.0)
    assert door.told(OTHER) is None
    app.delete(lock_key_of(HELLO))
    assert door.told() is None
    app = door.hold(owner="k")
    app.pexpire(lock_key_of(HELLO), 1)
    wait_until(lambda: door.told() is None, what="the key is gone")


def test_of_a_file_and_a_key_the_longer_one_is_told_and_each_ends_for_itself(door: Door) -> None:
    file = door.file()
    app = door.hold(owner="k", seconds=500)
    assert door.told() == ("k", "", 500.0)
    app.delete(lock_key_of(HELLO))
    assert door.told() == ("f", "busy", 100.0)
    file.unlink()
    assert door.told() is None


def test_a_lock_ends_by_itself_after_its_seconds_and_at_the_latest_at_the_owners_maximum(door: Door) -> None:
    door.file("seconds=10\n")
    app = door.hold(seconds=999_999)
    assert door.told() == ("app", "", MAX_S)
    app.delete(lock_key_of(HELLO))
    assert door.told() == ("app", "", 10.0)
    door.clock.now += 11
    assert door.told() is None


def test_a_changed_key_starts_anew_but_not_beyond_the_maximum(door: Door) -> None:
    door.hold(seconds=100)
    door.told()
    for n in range(20):
        door.clock.now += 50
        door.hold(seconds=100, reason=str(n))
        last = door.told()
    assert last is None


def test_a_worker_that_starts_again_gives_no_lock_its_time_anew(door: Door) -> None:
    door.file("seconds=100\n")
    door.told()
    door.clock.now += 60
    door.locks = door.fresh()
    assert door.told() == ("app", "", 40.0)
    door.locks = door.fresh(boot="1" * 32)  # another boot has another clock
    assert door.told() == ("app", "", 100.0)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"boot": "' + BOOT.encode() + b'", "holds": {"a": 1}}', b"\xff{"])
def test_a_damaged_memory_of_holds_is_none(door: Door, content: bytes) -> None:
    (door.bench.paths.state / "locks.json").write_bytes(content)
    door.locks = door.fresh()
    door.file()
    assert door.told() == ("f", "busy", 100.0)


def test_an_intake_that_does_not_answer_holds_an_update_up_for_a_minute_and_no_longer(door: Door) -> None:
    door.hold(seconds=100)
    door.told()
    door.bench.intake_server.child.stop()
    assert door.told() == ("worker", "the intake does not answer, so its locks are not known", 60.0)
    door.clock.now += 61
    assert door.told() is None
    door.bench.start_intake()
    door.clock.now -= 30
    assert door.told() == ("app", "", 69.0)


@pytest.mark.parametrize("value", [b"seconds=60\nowner=" + b"x" * 1_000_000, b"seconds=60\n\xff\x00\x1b[2J" * 100])
def test_a_strange_value_is_a_lock_of_its_seconds_and_its_texts_are_short(door: Door, value: bytes) -> None:
    door.bench.app().set(lock_key_of(HELLO), value)
    told = door.told()
    assert told is not None
    assert told[2] == 60.0
    assert len(told[0]) <= 200
    assert "\x1b" not in told[0] + told[1]


@pytest.mark.parametrize(
    "command",
    [
        ("HSET", "{}", "f", "x"),
        ("LPUSH", "{}", "x"),
        ("APPEND", "{}", "x"),
        ("SETRANGE", "{}", "500000000", "x"),
        ("SET", "lock:ibbbbbbbbbbb", "x"),
        ("GET", "lock:ibbbbbbbbbbb"),
    ],
)
def test_an_app_may_do_nothing_but_set_and_read_one_text_of_its_own(door: Door, command: tuple[str, ...]) -> None:
    with pytest.raises(redis.exceptions.NoPermissionError):
        door.bench.app().execute_command(*(word.format(lock_key_of(HELLO)) for word in command))


def test_a_text_of_more_than_a_megabyte_is_not_taken(door: Door) -> None:
    with pytest.raises(redis.exceptions.RedisError):
        door.bench.app().set(lock_key_of(HELLO), "x" * (1 << 21))
    assert door.bench.intake.memory_of([lock_key_of(HELLO)]) == [0]


def test_who_waits_is_woken_once_when_the_lock_ends_and_nobody_looks_any_more(door: Door) -> None:
    file = door.file()
    assert not door.locks.watch_once()
    door.told()
    assert door.locks.watch_once()
    assert door.freed == 0
    file.unlink()
    assert not door.locks.watch_once()
    assert door.freed == 1
    assert not door.locks.watch_once()
    assert door.freed == 1


def test_a_lock_that_nobody_asks_for_any_more_is_not_watched(door: Door) -> None:
    door.file("seconds=900\n")
    door.told()
    door.file("seconds=9999\n")
    door.clock.now += 1801
    assert not door.locks.watch_once()
    assert door.freed == 0


def test_the_thread_sleeps_until_a_lock_is_waited_for_and_tells_of_its_end(door: Door) -> None:
    stopping = threading.Event()
    thread = threading.Thread(target=door.locks.run, args=(stopping,))
    thread.start()
    file = door.file()
    door.told()
    file.unlink()
    wait_until(lambda: door.freed == 1, what="reconcile is woken")
    stopping.set()
    door.locks.wake()
    thread.join(10)
    assert not thread.is_alive()


def test_folders_of_apps_that_are_gone_are_removed(door: Door) -> None:
    door.file()
    door.locks.forget([OTHER])
    assert [path.name for path in (door.bench.paths.state / "locks").iterdir()] == [OTHER]
