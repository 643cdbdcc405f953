"""Turns: a lock that is handed on in the order in which it was asked for."""

from __future__ import annotations

import collections
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from broker.errors import Passing


class Turns:
    """`threading.Lock` lets a thread that comes back at once pass those that wait; this one does not."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: collections.deque[threading.Event] = collections.deque()
        self._taken = False

    @contextmanager
    def mine(self, timeout_s: float) -> Iterator[None]:
        """Wait for the turn and keep it; raise `Passing` when it does not come in time."""
        self._wait(timeout_s)
        try:
            yield
        finally:
            self._hand_on()

    @property
    def waiting(self) -> int:
        """Return how many wait for their turn."""
        return len(self._waiting)

    def _wait(self, timeout_s: float) -> None:
        with self._lock:
            if not self._taken:
                self._taken = True
                return
            mine = threading.Event()
            self._waiting.append(mine)
        if mine.wait(timeout_s):
            return
        with self._lock:
            if mine in self._waiting:
                self._waiting.remove(mine)
                raise Passing(f"the database is busy: no turn to write within {timeout_s:.0f} s")
        # It came in the last moment, and is ours.

    def _hand_on(self) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._taken = False
