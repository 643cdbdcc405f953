"""Presence: the birth until a sync answers it, then a beat each interval, and births again when syncs stop coming."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from broker.channels import PRESENCE
from broker.clock import Clock
from broker.messages import Beat, Birth, Conn, Generation, Host, StreamKept, Sync
from broker.policy import Policy
from device.uplink import Uplink

log = logging.getLogger(__name__)

BIRTH_AGAIN_S = 5.0
STREAMS_MAX = 400  # of a birth: about 40 KiB, under the channel's size; the rest is told as its batches are sent
SUBSCRIBE_AGAIN_S = 30.0  # a birth that no sync answered for so long: the subscription itself may be gone


@dataclass(frozen=True)
class Standing:
    """What a birth tells besides the connection."""

    accepted: Generation | None
    streams: tuple[StreamKept, ...]
    status: int
    store: str | None


class Presence:
    """Owns when to say that we are here. `standing` is asked for the rest of each birth."""

    def __init__(
        self,
        uplink: Uplink,
        *,
        instance: str,
        version: str,
        host: Callable[[], Host],
        policy: Policy,
        standing: Callable[[], Standing],
        beat_s: float,
        clock: Clock,
    ) -> None:
        self._uplink = uplink
        self._instance = instance
        self._version = version
        self._host = host
        self._policy = policy
        self._standing = standing
        self._beat_s = beat_s
        self._clock = clock
        self._wake = threading.Event()
        self._born: Conn | None = None  # the connection a sync has answered for
        self._synced_at = 0.0
        self._birth_wanted = False

    # --- any thread

    def link_up(self) -> None:
        self._birth_wanted = True
        self._wake.set()

    def synced(self, sync: Sync) -> None:
        """A sync for the current connection came."""
        self._synced_at = self._clock.monotonic()
        self._born = sync.conn
        self._wake.set()

    def born_again(self) -> None:
        """Ask for another birth: what it tells has changed in a way only a birth can say."""
        self._birth_wanted = True
        self._wake.set()

    def poke(self) -> None:
        self._wake.set()

    # --- its own thread

    def run(self, stopping: threading.Event) -> None:
        """Send births and beats until `stopping`; poke it to end."""
        sent_at = first_birth_at = 0.0
        conn: Conn | None = None
        while not stopping.is_set():
            now = self._clock.monotonic()
            if not self._uplink.connected:
                self._wait(1.0)
                continue
            if conn != self._uplink.conn:
                conn, first_birth_at, sent_at = self._uplink.conn, now, 0.0
            answered = self._born == conn and self._synced_at >= sent_at - self._beat_s
            if not answered and now - max(first_birth_at, self._synced_at) > SUBSCRIBE_AGAIN_S + 2 * self._beat_s * (
                self._born == conn
            ):
                log.warning("no sync for a while; connecting anew")
                self._uplink.reconnect()
                self._wait(1.0)
                continue
            interval_s = self._beat_s if answered else BIRTH_AGAIN_S
            if self._birth_wanted or now >= sent_at + interval_s or sent_at == 0.0:
                birth = self._birth_wanted or not answered or sent_at == 0.0
                if self._send(birth=birth):
                    sent_at = now
                    self._birth_wanted = False
                else:
                    self._wait(0.2)
                continue
            self._wait(sent_at + interval_s - now)

    def _wait(self, seconds: float) -> None:
        self._wake.wait(max(0.01, seconds))
        self._wake.clear()

    def _send(self, *, birth: bool) -> bool:
        standing = self._standing()
        if birth:
            standing = replace(standing, streams=standing.streams[:STREAMS_MAX])
            return self._uplink.send(PRESENCE, lambda conn, n: self._birth(conn, n, standing), retain=True)
        return self._uplink.send(PRESENCE, lambda conn, n: _beat(conn, n, standing))

    def _birth(self, conn: Conn, n: int, standing: Standing) -> Birth:
        return Birth(
            conn=conn,
            n=n,
            instance=self._instance,
            worker=self._version,
            host=self._host(),
            policy=self._policy,
            accepted=standing.accepted,
            streams=standing.streams,
            status=standing.status,
            store=standing.store,
        )


def _beat(conn: Conn, n: int, standing: Standing) -> Beat:
    accepted = standing.accepted
    era, generation = accepted.order if accepted is not None else (0, 0)
    return Beat(conn=conn, n=n, era=era, generation=generation, status=standing.status)
