"""Marks: how far the store was, written down beside it, so that a store that lost its files can be told what it lost.

They lie in the intake, the other Redis: one hash, `STREAM|EPOCH` -> last number. What the intake forgets with its last
second in a power cut is missing in the marks as well: so they may say too little, and never too much.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

from device.telemetry.connection import Client, RedisUnavailable

KEY = "marks"


class Marks:
    """Owns the hash. What could not be written waits, and goes with the next."""

    def __init__(self, intake: Client) -> None:
        self._intake = intake
        self._lock = threading.Lock()
        self._waiting: dict[str, int] = {}

    def note(self, place: str, last: int) -> None:
        """Write down that numbers up to `last` are in the store."""
        with self._lock:
            self._waiting[place] = last
            waiting = dict(self._waiting)
        try:
            self._intake.set_hash(KEY, {name: str(number) for name, number in waiting.items()})
        except RedisUnavailable:
            return  # `waiting` has it: it goes with the next one
        with self._lock:
            self._waiting = {name: n for name, n in self._waiting.items() if waiting.get(name) != n}

    def all(self) -> dict[str, int]:
        """Return the last number of each place. Raises `RedisUnavailable`."""
        return {name: int(number) for name, number in self._intake.hash(KEY).items()}

    def forget(self, places: Iterable[str]) -> None:
        """Drop places that are drained."""
        gone = list(places)
        with self._lock:
            for place in gone:
                self._waiting.pop(place, None)
        self._intake.delete_fields(KEY, gone)
