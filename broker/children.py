"""Server programs we run as children: started, watched, restarted with backoff, stopped in order.

A child dies with us even when we are killed: `setpriv --pdeathsig` asks the kernel for that. The kernel counts the
death of the *thread* that started the child, so each child is started by its own thread, which lives as long.
"""

from __future__ import annotations

import logging
import random
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from broker.backoff import Backoff
from broker.errors import Passing

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Program:
    """What to run. `ready` is asked until it returns true; `before_start` runs before every start."""

    name: str
    argv: Sequence[str]
    log_path: Path
    ready: Callable[[], bool]
    before_start: Callable[[], None] = lambda: None
    on_up: Callable[[], None] = lambda: None
    environment: Mapping[str, str] | None = None
    ready_timeout_s: float = 20.0
    stop_timeout_s: float = 10.0
    backoff: Backoff = field(default_factory=lambda: Backoff(first_s=0.2, max_s=10.0))


class Child:
    """One supervised program; `starts` counts how often it was started."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.starts = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._stop = threading.Event()
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"child-{program.name}", daemon=True)

    def start(self, *, needed: bool = True) -> None:
        """Start it and wait until it is ready; raise `Passing` with the end of its log when it is not.

        One that is not `needed` goes on being tried instead: its users see that it is not there.
        """
        self._thread.start()
        if not self._up.wait(self.program.ready_timeout_s):
            if not needed:
                log.error("%s is not ready yet; going on without it", self.program.name)
                return
            self.stop()
            tail = b""
            if self.program.log_path.exists():
                tail = self.program.log_path.read_bytes()[-800:]
            raise Passing(f"{self.program.name} did not get ready: {tail.decode(errors='replace').strip()}")

    def stop(self) -> None:
        """Ask it to end, insist after a while, and wait for the end."""
        self._stop.set()
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()
        self._thread.join(self.program.stop_timeout_s + 5.0)

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
            try:
                self.program.before_start()
                was_up = self._run_once()
            except (OSError, Passing) as error:
                log.error("cannot start %s: %s", self.program.name, error)
                was_up = False
            except Exception:  # a supervised loop is an edge: a bug in a hook must not leave the child unwatched
                log.exception("starting %s failed", self.program.name)
                was_up = False
            failures = 0 if was_up else failures + 1
            if not self._stop.is_set():
                log.warning("%s ended by itself; starting it again", self.program.name)
                self._stop.wait(self.program.backoff.delay_s(failures, random.random()))  # noqa: S311 - spread only

    def _run_once(self) -> bool:
        with self.program.log_path.open("ab") as output:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", *self.program.argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=None if self.program.environment is None else dict(self.program.environment),
                start_new_session=True,  # Ctrl-C in a terminal is for us; we stop the children in our own order
            )
        self._process = process
        self.starts += 1
        was_up = False
        try:
            while not self._stop.is_set() and process.poll() is None:
                if self.program.ready():
                    was_up = True
                    self.program.on_up()
                    self._up.set()
                    break
                self._stop.wait(0.02)
            while not self._stop.is_set() and process.poll() is None:
                self._stop.wait(0.1)
        finally:
            self._end(process)
        return was_up

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        if process.poll() is None:
            process.terminate()
        try:
            process.wait(self.program.stop_timeout_s)
        except subprocess.TimeoutExpired:
            log.warning("%s does not end; killing it", self.program.name)
            process.kill()
            process.wait()
