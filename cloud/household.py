"""The household: what was started, so that it is stopped in reverse order, also when a start fails half-way."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType

from broker.children import Child, Program
from broker.clock import Clock
from broker.errors import Passing
from broker.threads import SupervisedThread

log = logging.getLogger(__name__)

STOP_S_MAX = 20.0


class Household:
    """Use as a context manager. A thread that fails for good ends the household, and then `wait` raises."""

    def __init__(self, stopping: threading.Event, clock: Clock) -> None:
        self._stopping = stopping
        self._clock = clock
        self._stack = ExitStack()
        self._failed: list[str] = []

    def at_end(self, call: Callable[[], None]) -> None:
        self._stack.callback(call)

    def child(self, program: Program) -> Child:
        """Start a server program; return it when it is ready."""
        child = Child(program)
        child.start()
        log.info("%s is up (process %s)", program.name, child.pid)
        self._stack.callback(child.stop)
        return child

    def thread(
        self, name: str, body: Callable[[threading.Event], None], *, wake: Callable[[], None] = lambda: None
    ) -> None:
        """Start a supervised thread; `wake` makes its body look whether it should end."""
        thread = SupervisedThread(name, body, gave_up=self._gave_up, monotonic=self._clock.monotonic)
        thread.start()

        def end() -> None:
            thread.stop()
            wake()
            if not thread.join(STOP_S_MAX):
                log.error("thread %s does not end", name)

        self._stack.callback(end)

    def wait(self) -> None:
        """Wait until all should stop; raise `Passing` when that is because a thread failed."""
        self._stopping.wait()
        if self._failed:
            raise Passing(f"thread {self._failed[0]} failed again and again: see the log")
        log.info("stopping")

    def __enter__(self) -> Household:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _gave_up(self, name: str) -> None:
        self._failed.append(name)
        self._stopping.set()
