"""The sweeper: devices not heard for too long are offline; the write counter goes to its file; what is old goes."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from broker.clock import Clock
from broker.errors import Passing
from broker.ids import DeviceRef
from cloud import incarnation
from cloud.store import commands, presence, replies, tokens
from cloud.store.database import Database

log = logging.getLogger(__name__)

BEATS_MISSED = 2.5
EVERY_S = 1.0
OLD_EVERY_S = 3600.0
COMMANDS_KEPT_MS = 30 * 24 * 3600 * 1000
COMMANDS_KEPT = 20  # of each device, however old


class Sweeper:
    """`changed` is told which devices went offline."""

    def __init__(
        self,
        database: Database,
        *,
        keepalive_s: int,
        mark: Path,
        store: str,
        clock: Clock,
        changed: Callable[[Sequence[DeviceRef]], None],
    ) -> None:
        self._database = database
        self._quiet_ms = int(keepalive_s * 1000 * BEATS_MISSED)
        self._mark = mark
        self._store = store
        self._clock = clock
        self._changed = changed
        self._marked = 0
        self._old_at = 0.0

    def run(self, stopping: threading.Event) -> None:
        while not stopping.wait(EVERY_S):
            try:
                self.sweep()
            except Passing as error:
                log.warning("sweeper: %s", error)

    def sweep(self) -> None:
        """Do one round."""
        now_ms = self._clock.wall_ms()
        before_ms = now_ms - self._quiet_ms
        with self._database.read() as tx:
            quiet = presence.silent(tx, heard_before_ms=before_ms)
        if quiet:
            with self._database.write() as tx:
                quiet = presence.mark_silent(tx, heard_before_ms=before_ms)
            log.info("%d devices were not heard for %d s: offline", len(quiet), self._quiet_ms // 1000)
            self._changed([DeviceRef(org, device) for org, device in quiet])
        if self._clock.monotonic() - self._old_at > OLD_EVERY_S:
            self._old_at = self._clock.monotonic()
            with self._database.write() as tx:
                tokens.remove_expired(tx, now_ms=now_ms)
                commands.forget(tx, created_before_ms=now_ms - COMMANDS_KEPT_MS, device_keeps=COMMANDS_KEPT)
                replies.forget(tx, received_before_ms=now_ms - COMMANDS_KEPT_MS)
        if self._database.counter != self._marked:
            self._marked = self._database.counter
            incarnation.keep(self._database, self._mark, self._store)
