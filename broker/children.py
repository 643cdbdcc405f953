"""Server programs we run as children: started, watched, restarted with backoff, stopped in order.

A child dies with us even when we are killed: `setpriv --pdeathsig` asks the kernel for that. The kernel counts the
death of the *thread* that started the child, so each child is started by its own thread, which lives as long.
A child that outlives us all the same, hung or slow to end, still holds its lock: no second one starts beside it.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import random
import select
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from broker.backoff import Backoff
from broker.errors import Passing

log = logging.getLogger(__name__)
CALM_S = 60.0  # one that was up so long did not end because of how it was started
JOB_LOOK_S = 0.5  # how often one waits for a job looks whether it shall stop
WITHOUT_PIDFD_S = 0.5  # how often to look whether it has ended, on kernels before 5.3


@dataclass(frozen=True)
class Program:
    """What to run. `ready` is asked until it returns true; `before_start` runs before every start.

    With `check_every_s`, `ready` is asked from then on as well; one that says no for `unreachable_s` is ended and
    started again. `lock_path` names a file that the process keeps locked as long as it lives.
    """

    name: str
    argv: Sequence[str]
    log_path: Path
    ready: Callable[[], bool]
    before_start: Callable[[], None] = lambda: None
    on_up: Callable[[], None] = lambda: None
    environment: Mapping[str, str] | None = None
    folder: Path | None = None  # where it runs; ours where None
    user: int | None = None  # the number it runs as, with a group of the same number and no rights; ours where None
    data_bytes_max: int | None = None  # of memory of its own; what asks for more gets none
    ready_timeout_s: float = 20.0
    stop_timeout_s: float = 10.0
    check_every_s: float | None = None
    unreachable_s: float = 30.0
    lock_path: Path | None = None
    backoff: Backoff = field(default_factory=lambda: Backoff(first_s=0.2, max_s=30.0))


class Child:
    """One supervised program; `starts` counts how often it was started."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.starts = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._stop = threading.Event()
        self._up = threading.Event()
        self._wake = -1  # an eventfd: what ends the thread's wait
        self._thread = threading.Thread(target=self._run, name=f"child-{program.name}", daemon=True)

    def start(self, *, needed: bool = True) -> None:
        """Start it and wait until it is ready; raise `Passing` with the end of its log when it is not.

        One that is not `needed` goes on being tried instead: its users see that it is not there.
        """
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._thread.start()
        if not self._up.wait(self.program.ready_timeout_s) and not self._stop.is_set():
            if not needed:
                log.error("%s is not ready yet; going on without it", self.program.name)
                return
            self.stop()
            raise Passing(f"{self.program.name} did not get ready: {self.last_words()}")

    def ask_to_end(self) -> None:
        """Begin to stop it; returns at once. Pair with `stop`."""
        self._stop.set()
        self._up.set()  # nobody waits any longer for one that is being stopped
        if self._wake >= 0:
            os.eventfd_write(self._wake, 1)

    def stop(self) -> None:
        """Ask it to end, insist after a while, and wait for the end."""
        self.ask_to_end()
        self._thread.join(self.program.stop_timeout_s + 5.0)
        if self._wake >= 0 and not self._thread.is_alive():
            os.close(self._wake)
            self._wake = -1

    def last_words(self) -> str:
        """Return the end of its log."""
        try:
            return self.program.log_path.read_bytes()[-800:].decode(errors="replace").strip()
        except FileNotFoundError:
            return ""

    @property
    def is_up(self) -> bool:
        """Whether it has got ready since its last start."""
        return self._up.is_set() and not self._stop.is_set()

    @property
    def pid(self) -> int | None:
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def signal(self, number: int) -> None:
        """Send a signal to the running child, if there is one."""
        process = self._process
        if process is not None:
            process.send_signal(number)

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set():
            up_s = 0.0
            try:
                with self._lock() as lock:
                    self.program.before_start()
                    process = self._spawn(lock)
                up_s = self._watched(process)
            except (OSError, Passing) as error:
                log.error("cannot start %s: %s", self.program.name, error)
            except Exception:  # a supervised loop is an edge: a bug in a hook must not leave the child unwatched
                log.exception("starting %s failed", self.program.name)
            failures = 0 if up_s >= CALM_S else failures + 1
            if not self._stop.is_set():
                log.warning("%s ended by itself; starting it again", self.program.name)
                self._stop.wait(self.program.backoff.delay_s(failures - 1, random.random()))  # noqa: S311 - spread only

    @contextlib.contextmanager
    def _lock(self) -> Iterator[int | None]:
        """Take the lock for the process that is about to be started; wait for one that still holds it, and end it."""
        if self.program.lock_path is None:
            yield None
            return
        lock = os.open(self.program.lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if not self._locked(lock):
                self._end_predecessor(lock)
            yield lock
        finally:
            os.close(lock)  # the process has it now: the lock is that of the open file, not of the descriptor

    def _locked(self, lock: int, *, within_s: float = 0.0) -> bool:
        deadline = time.monotonic() + within_s
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                if self._stop.is_set() or time.monotonic() >= deadline:
                    return False
                self._stop.wait(0.1)

    def _end_predecessor(self, lock: int) -> None:
        log.warning("a %s of before still runs; waiting for its end", self.program.name)
        if self._locked(lock, within_s=self.program.stop_timeout_s):
            return
        holder = int(os.pread(lock, 20, 0) or b"0")
        if holder and self._holds(holder):
            log.warning("killing the %s of before, process %d", self.program.name, holder)
            os.kill(holder, signal.SIGKILL)
        if not self._locked(lock, within_s=self.program.stop_timeout_s):
            raise Passing(f"a {self.program.name} of before does not end")

    def _holds(self, pid: int) -> bool:
        """Whether a process has the lock's file open: its number may be another's by now."""
        try:
            opened = [os.readlink(each.path) for each in os.scandir(f"/proc/{pid}/fd")]
        except OSError:
            return False
        return str(self.program.lock_path) in opened

    def _spawn(self, lock: int | None) -> subprocess.Popen[bytes]:
        with self.program.log_path.open("ab") as output:
            process = subprocess.Popen(
                [*_limits(self.program), "setpriv", "--pdeathsig", "TERM", *_rights(self.program), *self.program.argv],
                cwd=self.program.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=None if self.program.environment is None else dict(self.program.environment),
                start_new_session=True,  # Ctrl-C in a terminal is for us; we stop the children in our own order
                pass_fds=() if lock is None else (lock,),
            )
        if lock is not None:
            os.pwrite(lock, b"%-20d" % process.pid, 0)
        self._process = process
        self.starts += 1
        return process

    def _watched(self, process: subprocess.Popen[bytes]) -> float:
        """Watch it until it ends or shall end; return for how many seconds it was up."""
        up_at: float | None = None
        try:
            while not self._stop.is_set() and process.poll() is None:
                if self.program.ready():
                    up_at = time.monotonic()
                    self.program.on_up()
                    self._up.set()
                    break
                self._stop.wait(0.02)
            while not self._stop.is_set() and process.poll() is None and self._answers(process):
                self._wait(process, self.program.check_every_s)
        finally:
            self._up.clear()
            self._end(process)
        return 0.0 if up_at is None else time.monotonic() - up_at

    def _answers(self, process: subprocess.Popen[bytes]) -> bool:
        """Return false when it has not been ready for too long: hung, or where nobody finds it."""
        if self.program.check_every_s is None or self.program.ready():
            return True
        deadline = time.monotonic() + self.program.unreachable_s
        while not self._stop.wait(min(1.0, self.program.unreachable_s / 10)) and process.poll() is None:
            if self.program.ready():
                return True
            if time.monotonic() > deadline:
                log.error("%s is not reachable; ending it", self.program.name)
                return False
        return True

    def _wait(self, process: subprocess.Popen[bytes], timeout_s: float | None) -> None:
        """Wait for the end of the process, for `stop`, or for the time: without looking now and then."""
        try:
            ended = os.pidfd_open(process.pid)
        except OSError:
            self._stop.wait(WITHOUT_PIDFD_S if timeout_s is None else min(WITHOUT_PIDFD_S, timeout_s))
            return
        try:
            waiting = select.poll()
            waiting.register(ended, select.POLLIN)
            waiting.register(self._wake, select.POLLIN)
            waiting.poll(None if timeout_s is None else timeout_s * 1000)
        finally:
            os.close(ended)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(self.program.stop_timeout_s)
        except subprocess.TimeoutExpired:
            log.warning("%s does not end; killing it", self.program.name)
            process.kill()
            process.wait()


def run_to_end(argv: Sequence[str], *, data_bytes_max: int, timeout_s: float, stopping: threading.Event) -> str | None:
    """Run one job with few rights to memory and processor; return what it said last where it failed, else None.

    One that takes too long is killed, and so is one under way when we shall stop: that raises `Passing`.
    """
    bounded = ["nice", "-n", "10", "prlimit", f"--data={data_bytes_max}", "setpriv", "--pdeathsig", "KILL", *argv]
    deadline = time.monotonic() + timeout_s
    with tempfile.TemporaryFile() as words:
        process = subprocess.Popen(bounded, stdin=subprocess.DEVNULL, stdout=words, stderr=subprocess.STDOUT)
        try:
            while not _ended(process, stopping):
                if time.monotonic() > deadline:
                    return f"it took more than {timeout_s:.0f} s"
            if process.poll() is None:
                raise Passing("stopped")
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        words.seek(max(0, words.tell() - 800))
        said = words.read().decode(errors="replace").strip()
        return None if process.returncode == 0 else f"it ended with status {process.returncode}: {said}"


def _ended(process: subprocess.Popen[bytes], stopping: threading.Event) -> bool:
    """Wait a moment; return whether there is nothing more to wait for."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(JOB_LOOK_S)
    return process.poll() is not None or stopping.is_set()


def _limits(program: Program) -> list[str]:
    return [] if program.data_bytes_max is None else ["prlimit", f"--data={program.data_bytes_max}"]


def _rights(program: Program) -> list[str]:
    if program.user is None:
        return []
    return [f"--reuid={program.user}", f"--regid={program.user}", "--clear-groups", "--no-new-privs", "--inh-caps=-all"]
