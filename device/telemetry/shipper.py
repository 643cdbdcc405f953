"""The shipper: sends batches within a window, trims what syncs show stored, sends again when nothing moves.

Order: events, samples of apps, metrics, logs; newer epochs of a stream before older ones. A PUBACK moves nothing; only
a sync does. Under a link policy logs go before samples, and both wait while an image moves: what failed is in the
status, which waits for nothing.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from broker.backoff import Backoff
from broker.channels import BATCH
from broker.clock import Clock
from broker.errors import Refused
from broker.messages import Batch, Conn, Gap, Refusal, StreamHeld, Sync
from device.telemetry.buffer import Buffer
from device.telemetry.connection import RedisUnavailable
from device.telemetry.stored import Extent, Place, Stored
from device.uplink import Uplink

log = logging.getLogger(__name__)

WINDOW = 16  # batches under way: at 50 ms of link and 20 kB each this fills 6 MB/s
AGAIN = Backoff(first_s=2.5, max_s=30.0)
IDLE_S = 600.0  # whoever has news pokes
GAP_REFUSED = Backoff(first_s=60.0, max_s=3600.0)  # a cloud that does not even take the gap: time may change its mind
NAMED_AGAIN_S = 30.0  # what a restored cloud lost, told again where the sync still lacks it
HELD_S = 2.0  # how often it is looked whether an image still moves
_PRIORITY = {"events": 0, "telemetry": 1, "metrics": 2, "logs": 3}
_LOGS_FIRST = {"events": 0, "logs": 1, "telemetry": 2, "metrics": 3}

Thrift = Literal["none", "logs_first", "hold"]


@dataclass
class _Flight:
    """What was sent of one (stream, epoch) on this connection."""

    cursor: int
    under_way: dict[int, int] = field(default_factory=dict)  # first -> last
    paused_until: float = 0.0
    gaps_refused: int = 0


class Shipper:
    """Owns what is under way. Syncs come through a queue, so that only its thread touches the buffer's trimming."""

    def __init__(
        self, uplink: Uplink, buffer: Buffer, *, clock: Clock, thrift: Callable[[], Thrift] = lambda: "none"
    ) -> None:
        self._uplink = uplink
        self._thrift = thrift
        self._buffer = buffer
        self._clock = clock
        self._syncs: queue.Queue[Sync | None] = queue.Queue(64)  # one per commit; dropping one costs nothing
        self._flights: dict[Place, _Flight] = {}
        self._named: dict[Place, tuple[StreamHeld, float]] = {}
        self._conn: Conn | None = None
        self._progress_at = 0.0
        self._tries = 0

    # --- any thread

    def synced(self, sync: Sync) -> None:
        try:
            self._syncs.put_nowait(sync)
        except queue.Full:
            return

    def poke(self) -> None:
        """Say that there is something new to send, or that it is time to end."""
        try:
            self._syncs.put_nowait(None)
        except queue.Full:
            return

    # --- its own thread

    def run(self, stopping: threading.Event) -> None:
        """Ship until `stopping`; poke it to end."""
        while not stopping.is_set():
            try:
                wait_s = self._turn()
            except RedisUnavailable as error:
                log.warning("batches wait: %s", error)
                wait_s = 0.5
            self._take_syncs(wait_s)

    def _take_syncs(self, wait_s: float) -> None:
        try:
            sync = self._syncs.get(timeout=wait_s)
            while True:
                if sync is not None:
                    self._apply(sync)
                sync = self._syncs.get_nowait()
        except queue.Empty:
            return
        except RedisUnavailable as error:
            log.warning("a sync waits for the next one: %s", error)

    def _turn(self) -> float:
        """Send what the window has room for; return how long to wait for news."""
        conn = self._uplink.conn
        if not self._uplink.connected or conn is None:
            return IDLE_S
        now = self._clock.monotonic()
        if conn != self._conn:
            self._conn, self._flights, self._named, self._tries, self._progress_at = conn, {}, {}, 0, now
        if self._under_way() and now - self._progress_at > AGAIN.delay_s(self._tries, 1.0):
            self._flights = {
                place: _Flight(0, paused_until=flight.paused_until, gaps_refused=flight.gaps_refused)
                for place, flight in self._flights.items()
            }
            self._tries += 1
            self._progress_at = now
        thrift = self._thrift()
        if thrift == "hold":
            return HELD_S
        order = _PRIORITY if thrift == "none" else _LOGS_FIRST
        for extent in sorted(self._buffer.extents(), key=lambda extent: _urgency(extent, order)):
            if extent.trimmed < extent.last and not self._send_from(extent, now):
                return 0.2
        if self._under_way():
            return AGAIN.delay_s(self._tries, 1.0)
        return max(
            0.0, min((f.paused_until - now for f in self._flights.values() if f.paused_until > now), default=IDLE_S)
        )

    def _under_way(self) -> int:
        return sum(len(flight.under_way) for flight in self._flights.values())

    def _send_from(self, extent: Extent, now: float) -> bool:
        """Send batches of one (stream, epoch); return whether the session took them all."""
        place = extent.place
        flight = self._flights.setdefault(place, _Flight(0))
        if flight.paused_until > now:
            return True
        room = WINDOW - self._under_way()
        if room <= 0 or flight.cursor >= extent.last:
            return True
        for batch in self._buffer.read(place, after=flight.cursor, count=room):
            if not self._send(batch):
                return False
            flight.under_way[batch.first] = batch.last
            flight.cursor = batch.first
            self._buffer.note_sent(place, batch.last)
        return True

    def _send(self, batch: Stored) -> bool:
        try:
            return self._uplink.send(BATCH, lambda conn, n: _message(batch, conn, n))
        except Refused as error:
            log.error("batch %s %d..%d cannot travel: %s", batch.place.key, batch.first, batch.last, error)
            self._buffer.replace_by_gap(batch.place, batch.first, cause="too_large")
            return True

    def _apply(self, sync: Sync) -> None:
        for held in sync.streams:
            place = Place(held.stream, held.epoch)
            flight = self._flights.setdefault(place, _Flight(0))
            gone = self._buffer.apply_held(held)  # first: where the store is away, what is under way is sent again
            before = len(flight.under_way)
            ranges = [(1, held.contiguous), *held.ranges]
            flight.under_way = {
                first: last
                for first, last in flight.under_way.items()
                if not any(low <= first and last <= high for low, high in ranges)
            }
            if gone or len(flight.under_way) < before:
                self._progress_at, self._tries = self._clock.monotonic(), 0
            for refusal in held.refused:
                self._refused(place, flight, refusal)
        if sync.streams:
            self._name_losses(sync.streams)

    def _refused(self, place: Place, flight: _Flight, refusal: Refusal) -> None:
        log.warning("the cloud refuses %s %d..%d: %s", place.key, refusal.first, refusal.last, refusal.reason)
        if refusal.retry_after_s is not None:
            self._pause(flight, refusal.retry_after_s)
            return
        found = self._buffer.read(place, after=refusal.first - 1, count=1)
        if not found or found[0].first != refusal.first:
            return
        if not found[0].payload:
            self._pause(flight, GAP_REFUSED.delay_s(flight.gaps_refused, 1.0))
            flight.gaps_refused += 1
            return
        self._buffer.replace_by_gap(place, refusal.first, cause=refusal.reason)
        flight.cursor = min(flight.cursor, refusal.first - 1)
        flight.under_way.pop(refusal.first, None)

    def _pause(self, flight: _Flight, seconds: float) -> None:
        flight.paused_until = self._clock.monotonic() + seconds
        flight.cursor, flight.under_way = 0, {}

    def _name_losses(self, streams: Sequence[StreamHeld]) -> None:
        """Tell as gaps what an earlier store of the cloud had acked and this one does not hold."""
        extents = {extent.place: extent for extent in self._buffer.extents()}
        now = self._clock.monotonic()
        for held in streams:
            place = Place(held.stream, held.epoch)
            extent = extents.get(place)
            if extent is None or held.contiguous >= extent.trimmed:
                continue
            told, at = self._named.get(place, (None, 0.0))
            if told == held and now - at < NAMED_AGAIN_S:
                continue
            self._named[place] = (held, now)
            for first, last in self._buffer.lost_by_cloud(held):
                log.warning("the cloud's store lost %s %d..%d", place.key, first, last)
                gap = Gap(first=first, last=last, cause="store_restored")
                self._send(Stored(place, first, last, self._buffer.now(), "none", b"", (gap,)))


def _urgency(extent: Extent, order: Mapping[str, int]) -> tuple[int, int, str]:
    kind = extent.place.stream.partition(":")[0]
    return (order.get(kind, 4), -extent.order, extent.place.stream)


def _message(batch: Stored, conn: Conn, n: int) -> Batch:
    return Batch(
        conn=conn,
        n=n,
        stream=batch.place.stream,
        epoch=batch.place.epoch,
        first=batch.first,
        last=batch.last,
        at=batch.at,
        format=batch.format,
        payload=batch.payload,
        gaps=batch.gaps,
    )
