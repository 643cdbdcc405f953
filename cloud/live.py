"""The live feed: what happens now, to everyone who watches. A slow watcher is let go, and nobody waits for it."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

log = logging.getLogger(__name__)

QUEUE_DEPTH = 1000  # events; who is further behind reads the snapshot again, which is cheaper
KEPT = 1000  # events that a watcher who comes back can still get


@dataclass(frozen=True)
class Event:
    """One event of one organisation; `id` grows, also over restarts."""

    id: int
    org: str
    type: str
    data: str


class Watcher:
    """One subscription; iterate over it in the event loop that it was made in. It ends when it was too slow."""

    def __init__(self, org: str) -> None:
        self.org = org
        self._loop = asyncio.get_running_loop()
        self._events: deque[Event] = deque()
        self._filled = asyncio.Event()
        self._over = False

    def offer(self, event: Event) -> bool:
        """Add an event from any thread; return False when this watcher is over."""
        if len(self._events) >= QUEUE_DEPTH:
            self.end()
        if self._over:
            return False
        self._events.append(event)
        self._poke()
        return True

    def end(self) -> None:
        """End the iteration, from any thread."""
        self._over = True
        self._poke()

    def _poke(self) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._filled.set)

    async def __aiter__(self) -> AsyncIterator[Event]:
        while not self._over:
            await self._filled.wait()
            self._filled.clear()
            while self._events and not self._over:
                yield self._events.popleft()


class Feed:
    """Takes events from any thread and hands them to the watchers of their organisation."""

    def __init__(self, *, first_id: int) -> None:
        self._id = first_id
        self._lock = threading.Lock()
        self._watchers: list[Watcher] = []
        self._kept: deque[Event] = deque(maxlen=KEPT)
        self.slow = 0

    def publish(self, org: str, type_: str, data: Mapping[str, Any]) -> None:
        text = json.dumps(data, separators=(",", ":"))
        with self._lock:
            self._id += 1
            event = Event(self._id, org, type_, text)
            self._kept.append(event)
            slow = [watcher for watcher in self._watchers if watcher.org == org and not watcher.offer(event)]
            for watcher in slow:
                self._watchers.remove(watcher)
        if slow:
            self.slow += len(slow)
            log.info("%d watchers were too slow and were let go", len(slow))

    def watch(self, org: str, *, since: int | None = None) -> Watcher:
        """Return a watcher that gets everything from now on, after what is kept since an id it has seen."""
        watcher = Watcher(org)
        with self._lock:
            if since is not None:
                for event in self._kept:
                    if event.org == org and event.id > since:
                        watcher.offer(event)
            self._watchers.append(watcher)
        return watcher

    def leave(self, watcher: Watcher) -> None:
        with self._lock:
            if watcher in self._watchers:
                self._watchers.remove(watcher)

    def watched(self, org: str) -> bool:
        """Return whether anyone would see an event: what costs a query is made only then."""
        with self._lock:
            return any(watcher.org == org for watcher in self._watchers)

    @property
    def last_id(self) -> int:
        return self._id

    def close(self) -> None:
        """End all watchers."""
        with self._lock:
            watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            watcher.end()
