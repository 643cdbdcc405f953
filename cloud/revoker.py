"""The revoker: has the broker know what is revoked, ends the sessions of it, and keeps the revocation list young.

The order matters, and was measured: list, reload, then end the session. After the reload the broker knows no TLS
session any more, so a revoked device cannot resume one either. The broker looks at the list in handshakes only, so who
shook hands before the reload may still say CONNECT afterwards, for as long as the broker waits for that: sessions are
ended once more after that time.
"""

from __future__ import annotations

import datetime as dt
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from broker.clock import Clock
from broker.errors import Passing
from broker.ids import DeviceRef
from cloud.pki import Pki
from cloud.store import revocations
from cloud.store.database import Database
from cloud.store.revocations import Unsettled

log = logging.getLogger(__name__)

RENEW_S = 24 * 3600.0  # each reload costs every device one full handshake at its next connection
OLD_S = 7 * RENEW_S
RETRY_S = 1.0
HANDSHAKE_HELD_MS = 120_000  # mosquitto waits 90 s for a CONNECT


@dataclass(frozen=True)
class Levers:
    """What the revoker does to the broker. All of it may be done again, and raises `Passing` when it cannot be now."""

    reload: Callable[[], None]
    end_session: Callable[[DeviceRef], None]
    forget: Callable[[DeviceRef], None]  # what is retained for a device


class Revoker:
    """One thread. What a crash has left is found at the start."""

    def __init__(self, database: Database, pki: Pki, levers: Levers, *, clock: Clock) -> None:
        self._database = database
        self._pki = pki
        self._levers = levers
        self._clock = clock
        self._woken = threading.Event()
        self._ended: set[int] = set()

    def wake(self) -> None:
        """Tell, from any thread, that something was revoked, or that it is time to end."""
        self._woken.set()

    def run(self, stopping: threading.Event) -> None:
        """Work until `stopping`; wake it to end."""
        while not stopping.is_set():
            try:
                pause_s = self.turn()
            except (Passing, OSError) as error:
                log.warning("revoker: %s", error)
                stopping.wait(RETRY_S)
                continue
            self._woken.wait(pause_s)
            self._woken.clear()

    def turn(self) -> float:
        """Do what is due; return the seconds until something may be due again."""
        with self._database.read() as tx:
            serials, unsettled = revocations.serials(tx), revocations.unsettled(tx)
        self._renew_list(serials)
        now_ms = self._clock.wall_ms()
        settled = [each.serial for each in unsettled if self._settle(each, now_ms)]
        if settled:
            with self._database.write() as tx:
                revocations.settle(tx, settled)
            self._ended -= set(settled)
        return HANDSHAKE_HELD_MS / 1000 if len(settled) < len(unsettled) else RENEW_S

    def _renew_list(self, serials: frozenset[int]) -> None:
        listed = self._pki.revocation_list()
        now = dt.datetime.fromtimestamp(self._clock.wall_ms() / 1000, dt.UTC)
        age_s = None if listed is None else listed.age_s(now)
        if age_s is not None and age_s > OLD_S:
            log.error("the list of revoked certificates is %d days old: it could not be renewed", age_s // 86_400)
        if listed is not None and serials <= listed.serials and age_s is not None and 0 <= age_s < RENEW_S:
            return
        self._pki.write_revocations(serials, now=now)
        self._levers.reload()
        log.info("the broker knows %d revoked certificates", len(serials))

    def _settle(self, each: Unsettled, now_ms: int) -> bool:
        """End the sessions of a revoked certificate; return whether there can be none any more."""
        is_last = not 0 <= now_ms - each.revoked_ms < HANDSHAKE_HELD_MS
        if each.serial in self._ended and not is_last:
            return False
        if each.is_gone:
            self._levers.forget(each.ref)
        self._levers.end_session(each.ref)
        log.info("ended the session of %s", each.ref)
        self._ended.add(each.serial)
        return is_last
