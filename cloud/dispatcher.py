"""The dispatcher: issues to the devices that are due, page by page, so that nobody waits long for the database."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from broker.clock import Clock
from broker.errors import Passing
from cloud import deploying
from cloud.issuing import Issuer
from cloud.store import due
from cloud.store.database import Database

log = logging.getLogger(__name__)

BREATH_S = 0.05  # between two pages: SQLite gives the write lock to who asks at the right moment, not to who waits
RETRY_S = 1.0


class Dispatcher:
    """One thread. `issued` is told after each page. What a crash has left is found at the start."""

    def __init__(self, database: Database, issuer: Issuer, *, issued: Callable[[], None], clock: Clock) -> None:
        self._database = database
        self._issuer = issuer
        self._issued = issued
        self._clock = clock
        self._woken = threading.Event()
        self._woken.set()

    def wake(self) -> None:
        """Tell, from any thread, that devices are due."""
        self._woken.set()

    def run(self, stopping: threading.Event) -> None:
        """Work until `stopping`; wake it to end."""
        while not stopping.is_set():
            self._woken.wait()
            self._woken.clear()
            try:
                while not stopping.is_set() and self.page():
                    stopping.wait(BREATH_S)
            except Passing as error:
                log.warning("dispatcher: %s", error)
                stopping.wait(RETRY_S)
                self._woken.set()

    def page(self) -> bool:
        """Issue one page; return whether there was anything to do."""
        with self._database.read() as tx:
            if not due.any_left(tx):
                return False
        with self._database.write() as tx:
            count = len(deploying.issue_page(tx, self._issuer, now_ms=self._clock.wall_ms()))
        log.info("issued to %d devices", count)
        self._issued()
        return True
