"""The worker's own streams: events, and metrics of machine and containers. Samples as those of apps, in one buffer."""

from __future__ import annotations

import collections
import logging
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from broker.clock import Clock
from broker.errors import Passing
from broker.payloads import SAMPLES, Sample, pack_samples
from device.telemetry.buffer import Buffer
from device.telemetry.connection import RedisUnavailable

log = logging.getLogger(__name__)

EVENTS = "events:device"
METRICS = "metrics:host"
CONTAINERS = "metrics:containers"
WAITING_MAX = 1000  # of events; beyond it the oldest are dropped and counted
BATCH_MAX = 500
GATHER_S = 1.0  # events of one moment travel together
RETRY_S = 2.0
LAST_FIELD = "batch"  # of the cursor: which batch was written last


@dataclass(frozen=True)
class _Taken:
    """Events on their way into the buffer. When the answer is lost, the token in the cursor tells if they stand."""

    samples: tuple[Sample, ...]
    dropped: int
    token: str


class Events:
    """Owns the events that wait to be written. `tell` never blocks; the rest is one thread's."""

    def __init__(self, buffer: Buffer, *, clock: Clock, written: Callable[[], None]) -> None:
        self._buffer = buffer
        self._clock = clock
        self._written = written
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._waiting: collections.deque[Sample] = collections.deque()
        self._dropped = 0
        self._taken: _Taken | None = None

    def tell(self, fields: Mapping[str, str]) -> None:
        """Say that something happened now. Any thread."""
        with self._lock:
            self._waiting.append(Sample(self._clock.wall_ms(), dict(fields)))
            if len(self._waiting) > WAITING_MAX:
                self._waiting.popleft()
                self._dropped += 1
        self._news.set()

    def poke(self) -> None:
        self._news.set()

    def run(self, stopping: threading.Event) -> None:
        """Write events until `stopping`; poke it to end."""
        while not stopping.is_set():
            self._news.wait()
            self._news.clear()
            stopping.wait(GATHER_S)
            if not self.write():
                self._news.set()
                stopping.wait(RETRY_S)

    def write(self) -> bool:
        """Write all that waits; return whether the store took it."""
        try:
            while (taken := self._take()) is not None:
                self._write(taken)
        except RedisUnavailable as error:
            log.warning("events wait: %s", error)
            return False
        return True

    def _take(self) -> _Taken | None:
        with self._lock:
            if self._taken is None and (self._waiting or self._dropped):
                count = min(len(self._waiting), BATCH_MAX)
                samples = tuple(self._waiting.popleft() for _ in range(count))
                self._taken, self._dropped = _Taken(samples, self._dropped, secrets.token_hex(8)), 0
            return self._taken

    def _write(self, taken: _Taken) -> None:
        if self._buffer.cursor(EVENTS).get(LAST_FIELD) != taken.token:
            self._buffer.append(
                EVENTS,
                count=len(taken.samples),
                format=SAMPLES,
                payload=pack_samples(taken.samples) if taken.samples else b"",
                gap_causes=((taken.dropped, "event_overflow"),) if taken.dropped else (),
                cursor=(EVENTS, {LAST_FIELD: taken.token}),
            )
        with self._lock:
            self._taken = None
        self._written()


class Metrics:
    """Writes samples of one kind now and then: `usage()` gives the fields of each."""

    def __init__(
        self,
        buffer: Buffer,
        *,
        stream: str,
        usage: Callable[[], Sequence[Mapping[str, str]]],
        every_s: float,
        clock: Clock,
        written: Callable[[], None],
    ) -> None:
        self._buffer = buffer
        self._stream = stream
        self._usage = usage
        self._every_s = every_s
        self._clock = clock
        self._written = written

    def run(self, stopping: threading.Event) -> None:
        """Write until `stopping`. What the store does not take, or nobody tells, is left out: the next says as much."""
        while not stopping.wait(self._every_s or None):
            try:
                self.write()
            except Passing as error:
                log.warning("a sample of %s is left out: %s", self._stream, error)

    def write(self) -> None:
        """Write one sample of each."""
        at_ms = self._clock.wall_ms()
        samples = [Sample(at_ms, dict(fields)) for fields in self._usage()]
        if samples:
            self._buffer.append(self._stream, count=len(samples), format=SAMPLES, payload=pack_samples(samples))
            self._written()
