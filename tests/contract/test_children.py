"""Children on real processes: watched, restarted with backoff, never two of one kind beside each other."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from broker.backoff import Backoff
from broker.children import Child, Program
from broker.errors import Passing
from tests.harness.servers import wait_until


@dataclass(frozen=True)
class Noted(Backoff):
    """Waits not at all, and notes which attempt it was asked for."""

    attempts: list[int] = field(default_factory=list)

    def delay_s(self, attempt: int, jitter: float) -> float:
        self.attempts.append(attempt)
        return 0.0


@contextmanager
def child(program: Program) -> Iterator[Child]:
    made = Child(program)
    try:
        yield made
    finally:
        made.stop()


def sleeper(folder: Path, **keys: object) -> Program:
    values = {"name": "sleeper", "argv": ("sleep", "600"), "log_path": folder / "log", "ready": lambda: True}
    return Program(**values | keys)  # type: ignore[arg-type]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


def test_one_that_ends_is_started_again(tmp_path: Path) -> None:
    with child(sleeper(tmp_path)) as made:
        made.start()
        first = made.pid
        made.signal(signal.SIGKILL)
        wait_until(lambda: made.is_up and made.pid not in (None, first), what="another process is up")


def test_one_that_is_killed_again_and_again_is_waited_for_longer_each_time(tmp_path: Path) -> None:
    backoff = Noted()
    with child(sleeper(tmp_path, argv=("true",), backoff=backoff)) as made:
        made.start()
        wait_until(lambda: len(backoff.attempts) >= 4, what="four ends")
    assert backoff.attempts[:4] == [0, 1, 2, 3]


def test_one_that_is_not_reachable_any_more_is_ended_and_started_again(tmp_path: Path) -> None:
    door = tmp_path / "door"
    program = sleeper(tmp_path, ready=door.exists, before_start=door.touch, check_every_s=0.05, unreachable_s=0.1)
    with child(program) as made:
        made.start()
        first = made.pid
        assert first is not None
        door.unlink()
        wait_until(lambda: made.is_up and made.pid not in (None, first), what="another process is up")
        assert not is_alive(first)


def test_one_that_is_silent_for_a_moment_goes_on(tmp_path: Path) -> None:
    answers = iter([True, True, False, False])  # from then on it answers again
    with child(sleeper(tmp_path, ready=lambda: next(answers, True), check_every_s=0.01, unreachable_s=30.0)) as made:
        made.start()
        first = made.pid
        wait_until(lambda: next(answers, None) is None, what="all was asked")
        assert made.pid == first
        assert made.starts == 1


def test_one_that_hangs_is_killed_when_it_is_stopped(tmp_path: Path) -> None:
    made = Child(sleeper(tmp_path, stop_timeout_s=0.2))
    made.start()
    pid = made.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    made.stop()
    assert not is_alive(pid)


def predecessor(lock: Path, *, tells: bool = True) -> subprocess.Popen[bytes]:
    """Start a process that holds the lock, as one does whose supervisor was killed while it hung."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    process = subprocess.Popen(["sleep", "600"], pass_fds=(descriptor,))
    if tells:
        os.pwrite(descriptor, b"%-20d" % process.pid, 0)
    os.close(descriptor)
    return process


def test_one_of_before_that_still_runs_is_ended_first(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    before = predecessor(lock)
    alive: list[bool] = []
    program = sleeper(
        tmp_path, lock_path=lock, stop_timeout_s=0.2, before_start=lambda: alive.append(is_alive(before.pid))
    )
    with child(program) as made:
        made.start()
        assert alive == [False]
    before.wait()


def test_one_of_before_is_given_time_to_end_by_itself(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lock = tmp_path / "lock"
    before = predecessor(lock)
    with child(sleeper(tmp_path, lock_path=lock, stop_timeout_s=30.0, ready_timeout_s=0.0)) as made:
        made.start(needed=False)
        wait_until(lambda: "of before still runs" in caplog.text, what="it waits")
        before.terminate()
        wait_until(lambda: made.is_up, what="it is up")
    assert before.wait() == -signal.SIGTERM


def test_a_stranger_is_not_killed_for_a_number_in_a_file(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    before = predecessor(lock, tells=False)
    stranger = subprocess.Popen(["sleep", "600"])
    lock.write_text(f"{stranger.pid}")
    made = Child(sleeper(tmp_path, lock_path=lock, stop_timeout_s=0.1, ready_timeout_s=1.0))
    with pytest.raises(Passing):
        made.start()
    assert is_alive(stranger.pid)
    assert is_alive(before.pid)
    assert made.starts == 0
    for process in (before, stranger):
        process.kill()
        process.wait()
