"""An MQTT broker in memory, and sessions on it: the same port and the same promises as the real ones, for tests.

It keeps retained messages and the queues of absent sessions, publishes wills, delivers in order. It loses nothing
unless told to (`drop`), and forgets everything when told to (`lose_files`).
"""

from __future__ import annotations

import collections
import threading
from collections.abc import Callable

from broker.transport import Delivery, Done, Events, Publication

QUEUED_MAX = 1000  # what mosquitto keeps for an absent session before it drops the newest, silently


def topic_matches(pattern: str, topic: str) -> bool:
    """Return whether an MQTT filter matches a topic (MQTT 5 section 4.7)."""
    wanted, have = pattern.split("/"), topic.split("/")
    if topic.startswith("$") and wanted[0] in ("+", "#"):
        return False  # the server's own topics are only for who names them
    for index, part in enumerate(wanted):
        if part == "#":
            return True
        if index >= len(have) or (part not in ("+", have[index])):
            return False
    return len(wanted) == len(have)


class LoopbackBroker:
    """Shared by sessions of one test. One lock; handlers only enqueue, as the port demands."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.retained: dict[str, bytes] = {}
        self.sessions: dict[str, LoopbackSession] = {}
        self.queued: dict[str, collections.deque[tuple[str, bytes]]] = {}
        self.drop: Callable[[str], bool] = lambda topic: False
        self.published: list[Publication] = []

    def lose_files(self) -> None:
        """Forget retained messages and absent sessions, as a killed broker without its files does."""
        with self.lock:
            self.retained.clear()
            self.queued.clear()

    def route(self, publication: Publication) -> None:
        with self.lock:
            self.published.append(publication)
            if self.drop(publication.topic):
                return
            if publication.retain:
                if publication.payload:
                    self.retained[publication.topic] = publication.payload
                else:
                    self.retained.pop(publication.topic, None)
            for session in list(self.sessions.values()):
                session.offer(publication)


class LoopbackSession:
    """A `Transport` on a `LoopbackBroker`."""

    def __init__(
        self, broker: LoopbackBroker, client_id: str, events: Events, subscriptions: tuple[tuple[str, int], ...] = ()
    ) -> None:
        self._broker = broker
        self._id = client_id
        self._events = events
        self._subscriptions = subscriptions
        self._connected = False
        self._will: Publication | None = None

    def start(self) -> None:
        with self._broker.lock:
            self._will = self._events.opening()
            other = self._broker.sessions.get(self._id)
            if other is not None and other is not self:
                other._end("taken over", taken_over=True)
            resumed = self._id in self._broker.queued
            self._broker.sessions[self._id] = self
            self._connected = True
            waiting = self._broker.queued.pop(self._id, collections.deque())
            self._events.up(resumed)
            for topic, payload in sorted(self._broker.retained.items()):
                if self._matching(topic) is not None:
                    self._events.message(topic, payload)
            for topic, payload in waiting:
                self._events.message(topic, payload)

    def stop(self) -> None:
        self._end("stopped")
        with self._broker.lock:
            if self._broker.sessions.get(self._id) is self:
                del self._broker.sessions[self._id]

    def cut(self) -> None:
        """Lose the connection; the session stays, its QoS 1 messages are queued."""
        self._end("cut")

    def reconnect(self) -> None:
        self._end("reconnecting")
        self.start()

    @property
    def connected(self) -> bool:
        return self._connected

    def publish(self, publication: Publication, done: Done | None = None) -> bool:
        with self._broker.lock:
            if not self._connected:
                return False
            self._broker.route(publication)
        if done is not None:
            done(Delivery.SENT)
        return True

    def offer(self, publication: Publication) -> None:
        """Deliver, or queue for an absent session what deserves it. Called by the broker, under its lock."""
        qos = self._matching(publication.topic)
        if qos is None:
            return
        if self._connected:
            self._events.message(publication.topic, publication.payload)
        elif min(qos, publication.qos) > 0:
            queue = self._broker.queued.setdefault(self._id, collections.deque())
            if len(queue) < QUEUED_MAX:
                queue.append((publication.topic, publication.payload))

    def _matching(self, topic: str) -> int | None:
        fitting = [qos for pattern, qos in self._subscriptions if topic_matches(pattern, topic)]
        return max(fitting, default=None)

    def _end(self, reason: str, *, taken_over: bool = False) -> None:
        with self._broker.lock:
            if not self._connected:
                return
            self._connected = False
            self._broker.queued.setdefault(self._id, collections.deque())
            will, self._will = self._will, None
            if will is not None:
                self._broker.route(will)
        self._events.down(reason, taken_over=taken_over)
