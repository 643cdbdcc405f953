"""Retention: what devices sent goes when an organisation keeps it no longer, a page at a time, so that nobody waits."""

from __future__ import annotations

import logging
import threading

from broker.clock import Clock
from broker.errors import Passing
from cloud.store import expired
from cloud.store.database import Database

log = logging.getLogger(__name__)

PAGE = 256  # batches a transaction: a few milliseconds
PAUSE_S = 0.05  # between two of them, so that ingest has most of the database
EVERY_S = 3600.0
DAY_MS = 24 * 3600 * 1000


class Retention:
    """Drops by the time at which things came, which no device can make up."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._poked = threading.Event()

    def wake(self) -> None:
        """Say that something is kept for less long, or that it is time to end. Any thread."""
        self._poked.set()

    def run(self, stopping: threading.Event) -> None:
        """Drop what is old now and every hour until `stopping`; wake it to end."""
        while not stopping.is_set():
            try:
                self.drop_old(stopping)
            except Passing as error:
                log.warning("retention: %s", error)
            self._poked.wait(EVERY_S)
            self._poked.clear()

    def drop_old(self, stopping: threading.Event) -> int:
        """Drop everything that is too old; return how many batches that were."""
        with self._database.read() as tx:
            keepers = expired.keepers(tx)
        dropped = 0
        for device, days in keepers:
            dropped += self._drop_of(device, self._clock.wall_ms() - days * DAY_MS, stopping)
        if dropped:
            log.info("retention: %d batches are dropped", dropped)
        return dropped

    def _drop_of(self, device: str, before_ms: int, stopping: threading.Event) -> int:
        with self._database.read() as tx:
            if not expired.has_older(tx, device, received_before_ms=before_ms):
                return 0
        dropped = 0
        while not stopping.is_set():
            with self._database.write() as tx:
                page = expired.drop(tx, device, received_before_ms=before_ms, limit=PAGE)
            dropped += page
            if page < PAGE:
                break
            stopping.wait(PAUSE_S)
        return dropped
