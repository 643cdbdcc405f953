"""Followers: one thread reads each running container and remembers how far the buffer has its lines."""

from __future__ import annotations

import collections
import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
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
PACK_EVERY_S = 1.0  # at most so often while nobody could see them at once, or bytes are counted
PACK_LIVE_S = 0.2
GATHER_S = 0.05  # lines of one moment travel together, also the first ones after a silence
BATCH_FIELD = "batch"  # the field of a cursor beside the containers'
BATCH_LINES = 1000
BATCH_BYTES = 96 * 1024  # of text in a batch, before compression: the channel takes 256 KiB
LINE_COST = 32  # of time stamp, service and framing, beside the text


@dataclass(frozen=True)
class Followed:
    """A container whose lines go to the stream of its app."""

    container: str
    service: str
    app: str


@dataclass(frozen=True)
class Taken:
    """Lines that are on their way into the buffer: (container, nanoseconds, line), and how many were dropped before.

    `token` is written with them: a lost answer leaves open whether they stand, and the buffer's cursor then tells.
    """

    lines: tuple[tuple[str, int, Line], ...]
    dropped: int
    token: str


class Queue:
    """Lines of one app that wait to be packed; the oldest go first when it is full, and are counted."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: collections.deque[tuple[str, int, Line]] = collections.deque()
        self._newest: dict[str, int] = {}
        self._dropped = 0
        self._taken: Taken | None = None

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

    def take(self) -> tuple[Taken | None, bool]:
        """Return what is to be written next, and whether it was taken before: then it may stand already.

        The same comes again until `written` says that it is done. None when nothing waits.
        """
        with self._lock:
            if self._taken is not None:
                return self._taken, True
            lines: list[tuple[str, int, Line]] = []
            size = 0
            while self._lines and len(lines) < BATCH_LINES:
                size += len(self._lines[0][2].text.encode()) + LINE_COST
                if lines and size > BATCH_BYTES:
                    break
                lines.append(self._lines.popleft())
            if lines or self._dropped:
                self._taken, self._dropped = Taken(tuple(lines), self._dropped, secrets.token_hex(8)), 0
            return self._taken, False

    def written(self) -> None:
        with self._lock:
            self._taken = None


class Followers:
    """Owns the follower threads and packs their lines into the buffer."""

    def __init__(
        self,
        engine: Engine,
        buffer: Buffer,
        *,
        packed: Callable[[], None],
        live: Callable[[], bool] = lambda: False,
    ) -> None:
        self._packed = packed
        self._live = live  # whether lines that are packed arrive at once, and may
        self._news = threading.Event()
        self._engine = engine
        self._buffer = buffer
        self._lock = threading.Lock()
        self._threads: dict[str, threading.Thread] = {}
        self._queues: dict[str, Queue] = {}
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
                self._queues.setdefault(app, Queue())
                thread = threading.Thread(target=self._follow, args=(followed,), name=f"log-{app}", daemon=True)
                self._threads[container.id] = thread
                thread.start()

    def poke(self) -> None:
        self._news.set()

    def run(self, stopping: threading.Event) -> None:
        """Pack what was read, at once after a silence and else now and then, until `stopping`; poke it to end."""
        packed_at = 0.0
        while not stopping.is_set():
            self._news.wait()
            self._news.clear()
            every_s = PACK_LIVE_S if self._live() else PACK_EVERY_S
            stopping.wait(max(GATHER_S, packed_at + every_s - time.monotonic()))
            packed_at = time.monotonic()
            self.pack()
        self._stopping.set()

    def pack(self) -> None:
        """Write waiting lines to the buffer, each batch with the cursors of its containers."""
        with self._lock:
            queues = dict(self._queues)
        for app, waiting in queues.items():
            try:
                while self._pack_batch(app, waiting):
                    self._packed()
            except RedisUnavailable as error:
                log.warning("log lines wait: %s", error)
                self._news.set()

    def _pack_batch(self, app: str, waiting: Queue) -> bool:
        """Write one batch; return whether there was one. Raises `RedisUnavailable`: it comes again."""
        taken, is_again = waiting.take()
        if taken is None:
            return False
        source = f"logs:{app}"
        if not (is_again and self._buffer.cursor(source).get(BATCH_FIELD) == taken.token):
            cursors = {container: str(at_ns) for container, at_ns, _ in taken.lines}
            self._buffer.append(
                source,
                count=len(taken.lines),
                format=LINES,
                payload=pack_lines([line for _, _, line in taken.lines]) if taken.lines else b"",
                gap_causes=((taken.dropped, "log_overflow"),) if taken.dropped else (),
                cursor=(source, cursors | {BATCH_FIELD: taken.token}),
            )
        waiting.written()
        return True

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
                self._news.set()
        except SkerryError as error:
            log.info("the log of %s is not followed now: %s", followed.container[:12], error)
