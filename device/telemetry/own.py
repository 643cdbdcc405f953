"""The worker's own streams: events, and metrics of the machine. Samples as those of apps, in the same buffer."""

from __future__ import annotations

import collections
import logging
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from broker.clock import Clock
from broker.payloads import SAMPLES, Sample, pack_samples
from device.telemetry.buffer import Buffer
from device.telemetry.connection import RedisUnavailable

log = logging.getLogger(__name__)

EVENTS = "events:device"
METRICS = "metrics:host"
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
    """Writes a sample of the machine now and then: `usage()` gives its fields."""

    def __init__(
        self,
        buffer: Buffer,
        *,
        usage: Callable[[], Mapping[str, str]],
        every_s: float,
        clock: Clock,
        written: Callable[[], None],
    ) -> None:
        self._buffer = buffer
        self._usage = usage
        self._every_s = every_s
        self._clock = clock
        self._written = written

    def run(self, stopping: threading.Event) -> None:
        """Write until `stopping`. A sample that the store does not take is left out: the next one says as much."""
        while not stopping.wait(self._every_s or None):
            try:
                self.write()
            except RedisUnavailable as error:
                log.warning("a sample of the machine is left out: %s", error)

    def write(self) -> None:
        """Write one sample."""
        sample = Sample(self._clock.wall_ms(), dict(self._usage()))
        self._buffer.append(METRICS, count=1, format=SAMPLES, payload=pack_samples([sample]))
        self._written()
