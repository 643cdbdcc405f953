"""The ingest sessions: one persistent MQTT session for each shard that has devices."""

from __future__ import annotations

import collections
import logging
import threading
from collections.abc import Callable

from broker.channels import CHANNELS, SYNC, Direction, match
from broker.errors import Refused
from broker.ids import DeviceRef
from broker.transport import Events, Publication, Transport
from cloud.ingest.inbox import Inbox, Received

log = logging.getLogger(__name__)

SUPPORTED = tuple(channel for channel in CHANNELS if channel.direction is Direction.UP and channel.name != "stream")
Connect = Callable[[int, tuple[tuple[str, int], ...], Events], Transport]


class Sessions:
    """Owns the sessions. `connect(shard, subscriptions, events)` makes one."""

    def __init__(self, inbox: Inbox, connect: Connect) -> None:
        self._inbox = inbox
        self._connect = connect
        self._lock = threading.Lock()
        self._by_shard: dict[int, Transport] = {}
        self.refused: collections.Counter[str] = collections.Counter()

    def join(self, shard: int) -> None:
        """Begin to listen to a shard; nothing happens when we do already."""
        with self._lock:
            if shard in self._by_shard:
                return
            subscriptions = tuple((channel.of_shard(shard), channel.qos) for channel in SUPPORTED)
            session = self._connect(shard, subscriptions, _ShardEvents(shard, self))
            self._by_shard[shard] = session
        session.start()

    def answer(self, device: DeviceRef, sync: bytes) -> bool:
        """Send a sync; return False when it cannot be sent now."""
        session = self._by_shard.get(device.shard)
        publication = Publication(SYNC.topic(device), sync, SYNC.qos, SYNC.retain)
        return session is not None and session.publish(publication)

    @property
    def connected(self) -> bool:
        """Whether every session is connected."""
        return all(session.connected for session in list(self._by_shard.values()))

    def stop(self) -> None:
        with self._lock:
            sessions, self._by_shard = list(self._by_shard.values()), {}
        for session in sessions:
            session.stop()

    def received(self, shard: int, topic: str, payload: bytes) -> None:
        """Take a message from a session's thread: only look whose it is, and hand it over."""
        if not payload:
            return  # an empty payload means nothing: it is how a retained message is cleared
        try:
            channel, device = match(topic)
            if device.shard != shard or channel not in SUPPORTED:
                raise Refused("unknown_topic", f"{topic!r} does not belong to shard {shard}")
        except Refused as error:
            if not self.refused[error.reason]:
                log.warning("refused %s: %s", error.reason, error)
            self.refused[error.reason] += 1
            return
        self._inbox.put(Received(channel, device, payload))


class _ShardEvents:
    """Events of one session."""

    def __init__(self, shard: int, sessions: Sessions) -> None:
        self._shard = shard
        self._sessions = sessions

    def opening(self) -> Publication | None:
        return None

    def up(self, resumed: bool) -> None:
        log.info("ingest of shard %d is connected%s", self._shard, "" if resumed else " anew")

    def down(self, reason: str, *, taken_over: bool = False) -> None:
        log.warning("ingest of shard %d: %s", self._shard, reason)

    def message(self, topic: str, payload: bytes) -> None:
        self._sessions.received(self._shard, topic, payload)
