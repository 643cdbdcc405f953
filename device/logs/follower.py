"""Followers: one thread reads each running container and remembers how far the buffer has its lines."""

from __future__ import annotations

import collections
import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from broker.errors import SkerryError
from broker.payloads import LINES, Line, pack_lines
from device.engine.port import Container, Engine
from device.telemetry.buffer import Buffer
from device.telemetry.connection import RedisUnavailable

log = logging.getLogger(__name__)

FOLLOWED_MAX = 64  # containers; each costs a thread and an open stream
QUEUE_LINES = 2000  # of one app between two packings; beyond it the oldest are dropped and counted
LINE_CHARS_MAX = 4096
PACK_EVERY_S = 1.0
BATCH_LINES = 1000


@dataclass(frozen=True)
class Followed:
    """A container whose lines go to the stream of its app."""

    container: str
    service: str
    app: str


class _Queue:
    """Lines of one app that wait to be packed; the oldest go first when it is full, and are counted."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: collections.deque[tuple[str, int, Line]] = collections.deque()
        self._newest: dict[str, int] = {}
        self._dropped = 0

    def put(self, container: str, at_ns: int, line: Line) -> None:
        with self._lock:
            self._newest[container] = at_ns
            self._lines.append((container, at_ns, line))
            while len(self._lines) > QUEUE_LINES:
                self._lines.popleft()
                self._dropped += 1

    def newest_ns(self, container: str) -> int:
        """Return the time of the newest line read from a container, packed or not."""
        with self._lock:
            return self._newest.get(container, 0)

    def take(self) -> tuple[list[tuple[str, int, Line]], int]:
        with self._lock:
            taken = [self._lines.popleft() for _ in range(min(BATCH_LINES, len(self._lines)))]
            dropped, self._dropped = self._dropped, 0
            return taken, dropped

    def put_back(self, taken: list[tuple[str, int, Line]], dropped: int) -> None:
        with self._lock:
            self._lines.extendleft(reversed(taken))
            self._dropped += dropped


class Followers:
    """Owns the follower threads and packs their lines into the buffer."""

    def __init__(self, engine: Engine, buffer: Buffer) -> None:
        self._engine = engine
        self._buffer = buffer
        self._lock = threading.Lock()
        self._threads: dict[str, threading.Thread] = {}
        self._queues: dict[str, _Queue] = {}
        self._stopping = threading.Event()

    def ensure(self, containers: Sequence[Container], apps: Mapping[str, str]) -> None:
        """Follow every running container of `apps` (instance -> app name); ended ones end by themselves."""
        with self._lock:
            self._threads = {key: thread for key, thread in self._threads.items() if thread.is_alive()}
            for container in containers:
                app = apps.get(container.instance)
                if app is None or container.state != "running" or container.id in self._threads:
                    continue
                if len(self._threads) >= FOLLOWED_MAX:
                    log.warning("more than %d containers: the logs of %s are not read", FOLLOWED_MAX, container.name)
                    continue
                followed = Followed(container.id, container.service, app)
                self._queues.setdefault(app, _Queue())
                thread = threading.Thread(target=self._follow, args=(followed,), name=f"log-{app}", daemon=True)
                self._threads[container.id] = thread
                thread.start()

    def run(self, stopping: threading.Event) -> None:
        """Pack what was read, about once a second, until `stopping`."""
        while not stopping.is_set():
            stopping.wait(PACK_EVERY_S)
            self.pack()
        self._stopping.set()

    def pack(self) -> None:
        """Write waiting lines to the buffer, each batch with the cursors of its containers."""
        with self._lock:
            queues = dict(self._queues)
        for app, waiting in queues.items():
            taken, dropped = waiting.take()
            if not taken and not dropped:
                continue
            try:
                self._write(app, taken, dropped)
            except RedisUnavailable as error:
                waiting.put_back(taken, dropped)
                log.warning("log lines wait: %s", error)

    def _write(self, app: str, taken: list[tuple[str, int, Line]], dropped: int) -> None:
        cursors = {container: str(at_ns) for container, at_ns, _ in taken}
        self._buffer.append(
            f"logs:{app}",
            count=len(taken),
            format=LINES,
            payload=pack_lines([line for _, _, line in taken]) if taken else b"",
            gap_causes=((dropped, "log_overflow"),) if dropped else (),
            cursor=(f"logs:{app}", cursors) if cursors else None,
        )

    def _follow(self, followed: Followed) -> None:
        waiting = self._queues[followed.app]
        try:
            stored_ns = int(self._buffer.cursor(f"logs:{followed.app}").get(followed.container, 0))
            # What was read and waits to be packed is not stored yet: a stream that broke off must not bring it again.
            since_ns = max(stored_ns, waiting.newest_ns(followed.container))
            for line in self._engine.follow_logs(followed.container, since_ns=since_ns):
                if self._stopping.is_set():
                    return
                text = line.text[:LINE_CHARS_MAX]
                waiting.put(
                    followed.container, line.at_ns, Line(line.at_ns // 1_000_000, followed.service, line.stream, text)
                )
        except SkerryError as error:
            log.info("the log of %s is not followed now: %s", followed.container[:12], error)
