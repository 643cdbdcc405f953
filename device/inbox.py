"""The inbox: everything that arrives is checked and routed here, on one thread, from one bounded queue."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass

from broker.channels import CHANNELS, COMMAND, DESIRED, STREAM_D, SYNC, TRUST, match
from broker.codec import open_sealed
from broker.errors import Refused
from broker.files import StorageUnavailable
from broker.ids import DeviceRef
from broker.messages import Sync
from broker.signing import MacKey
from device.commands import Commands
from device.ledger import Accepted, Ledger
from device.trust import Trust
from device.uplink import Uplink

log = logging.getLogger(__name__)

_NAMES = frozenset(channel.name for channel in CHANNELS)
DEPTH = 64  # one device receives a few messages a minute; 64 covers a reconnect burst several times over


@dataclass(frozen=True)
class Handed:
    """Envelopes that came as a file. `answer` is called with why they were refused, or None."""

    desired: bytes
    trust: bytes | None
    answer: Callable[[Refused | StorageUnavailable | None], None]


class Inbox:
    """Owns the ledger and the trust document. What it refuses it reports once a kind, and goes on."""

    def __init__(
        self,
        *,
        device: DeviceRef,
        mac: MacKey,
        trust: Trust,
        ledger: Ledger,
        commands: Commands,
        uplink: Uplink,
        uptime_ms: Callable[[], int],
        accepted: Callable[[Accepted], None],
        synced: Callable[[Sync], None],
        refused: Callable[[str, Refused], None],
        unwritten: Callable[[str], None],
    ) -> None:
        self._device = device
        self._mac = mac
        self._trust = trust
        self._ledger = ledger
        self._commands = commands
        self._uplink = uplink
        self._uptime_ms = uptime_ms
        self._accepted = accepted
        self._synced = synced
        self._refused = refused
        self._unwritten = unwritten
        self._queue: queue.Queue[tuple[str, bytes, int] | Handed | None] = queue.Queue(DEPTH)
        self._last_sync: tuple[str, int, int] = ("", 0, 0)
        self._untrusted: bytes | None = None  # a desired state under a key we do not know: tried again with new trust
        self.dropped = 0

    def put(self, topic: str, payload: bytes) -> None:
        """Hand a message over from the session's thread. A full queue drops it: every message is safe to lose."""
        try:
            self._queue.put_nowait((topic, payload, self._uptime_ms()))
        except queue.Full:
            self.dropped += 1

    def hand(self, handed: Handed) -> bool:
        """Hand over what came as a file; its `answer` is called on the inbox's thread. False when the queue is full."""
        try:
            self._queue.put_nowait(handed)
        except queue.Full:
            return False
        return True

    def poke(self) -> None:
        """Wake the thread, so that it looks for answers of commands, or can end."""
        try:
            self._queue.put_nowait(None)
        except queue.Full:
            return  # then it is awake anyway

    def run(self, stopping: threading.Event) -> None:
        """Work until `stopping`; poke it to end."""
        while not stopping.is_set():
            item = self._queue.get()
            self._commands.settle()
            if isinstance(item, Handed):
                self._handed(item)
                continue
            if item is None or not item[1]:
                continue  # an empty payload means nothing: it is how a retained message is cleared
            topic, payload, at_ms = item
            try:
                self._route(topic, payload, at_ms)
            except Refused as error:
                log.warning("refused %s: %s: %s", topic, error.reason, error)
                self._refused(_kind(topic), error)
            except StorageUnavailable as error:
                # Nothing was accepted. The cloud sends it again as long as our beats say so.
                log.error("%s", error)
                self._unwritten(str(error))

    def _handed(self, handed: Handed) -> None:
        """Take a bundle's envelopes as those that came over the link, and say what became of them."""
        try:
            if handed.trust is not None:
                self._trust_of(handed.trust)
            self._desired(handed.desired)
        except (Refused, StorageUnavailable) as error:
            log.warning("refused a bundle: %s", error)
            handed.answer(error)
        else:
            handed.answer(None)

    def _trust_of(self, sealed: bytes) -> None:
        try:
            self._take_trust(sealed)
        except Refused as error:
            if error.reason != "stale_trust":  # a bundle may be older than what the link brought since
                raise

    def _route(self, topic: str, payload: bytes, at_ms: int) -> None:
        channel, device = match(topic)
        if device != self._device:
            raise Refused("foreign", f"a message for {device}")
        if channel is SYNC:
            self._sync(payload)
        elif channel is DESIRED:
            self._desired(payload)
        elif channel is TRUST:
            self._take_trust(payload)
        elif channel is COMMAND:
            opened = open_sealed(COMMAND, self._device, payload, self._trust.verifier(COMMAND))
            self._commands.take(opened.message, conn=self._uplink.conn, at_ms=at_ms)
        elif channel is STREAM_D:
            raise Refused("not_supported", "interactive streams are not supported by this worker")
        else:
            raise Refused("unknown_topic", f"{channel.name} is not for devices")

    def _sync(self, payload: bytes) -> None:
        sync: Sync = open_sealed(SYNC, self._device, payload, self._mac).message
        if sync.conn != self._uplink.conn:
            return  # for a connection that is over: nothing in it is wrong, it is only late
        place = (sync.conn.boot, sync.conn.count, sync.n)
        if place[:2] == self._last_sync[:2] and sync.n <= self._last_sync[2]:
            return
        self._last_sync = place
        self._synced(sync)

    def _desired(self, payload: bytes) -> None:
        try:
            opened = open_sealed(DESIRED, self._device, payload, self._trust.verifier(DESIRED))
            accepted = self._ledger.offer(opened, payload, era=self._trust.era)
        except Refused as error:
            if error.reason in ("unknown_key", "unknown_era"):
                self._untrusted = payload
            raise
        if accepted is not None:
            log.info("accepted generation %d.%d", accepted.desired.era, accepted.desired.generation)
            self._accepted(accepted)

    def _take_trust(self, payload: bytes) -> None:
        if self._trust.offer(payload) and self._untrusted is not None:
            pending, self._untrusted = self._untrusted, None
            self._desired(pending)


def _kind(topic: str) -> str:
    """Return the name of the channel a topic ends in; all others share one, so that a broker cannot make up kinds."""
    name = topic.rpartition("/")[2]
    return name if name in _NAMES else "unknown"
