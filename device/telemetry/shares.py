"""Each app's share of the intake: over it, an app is cut off until what it wrote is moved, so that others go on.

The intake has one memory for all. What an app holds of it is asked of the server, its lock included; an app over its
share loses account and connections, and gets them back when it holds half of it, each time after a longer wait. So does
one that writes more samples a second, over some seconds, than the owner lets it. The server takes so many connections,
of which each app has a share as well: those beyond it are ended, the newest first.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from broker.backoff import Backoff
from broker.clock import Clock
from device.telemetry.accounts import Accounts, lock_key_of, user_of
from device.telemetry.connection import Client

log = logging.getLogger(__name__)

PART = 0.65  # of the intake's memory, for all shares; the rest is for connections and the server itself
LOCK_BYTES_MAX = 64 * 1024  # of a lock: no fitting one is as large, and nobody moves it away
AGAIN = Backoff(first_s=1.0, max_s=60.0)
CONNECTIONS = 192  # of the 256 that the server takes: all shares; the rest is the worker's own
CONNECTION_BYTES = 40 * 1024  # beyond a quarter of its memory for connections the server ends those of anybody
CONNECTIONS_MAX, CONNECTIONS_MIN = 64, 4  # of one app
BURST_S = 10.0  # what may be written at once of what may be written in this time
TOLD_S = 60.0  # for so long it is told that connections were ended
LOOK_S = 0.5  # at most so often is looked whether one may be let in whose wait is over


@dataclass
class _Cut:
    """An app that was cut off: since its last calm, how often, and until when at least."""

    times: int
    until: float
    is_off: bool = True


@dataclass
class _Ended:
    """Connections of an app that were ended: how many, and until when that is told."""

    count: int
    told_until: float


class Shares:
    """Owns who is cut off. Called by the mover's thread. `rate` is of samples a second, 0 for any."""

    def __init__(
        self,
        intake: Client,
        accounts: Accounts,
        *,
        bytes_max: int,
        clock: Clock,
        changed: Callable[[], None],
        rate: int = 0,
    ) -> None:
        self._intake = intake
        self._accounts = accounts
        self._bytes = int(bytes_max * PART)
        self._clock = clock
        self._changed = changed
        self._connections = min(CONNECTIONS, bytes_max // 4 // CONNECTION_BYTES)
        self._rate = rate
        self._cuts: dict[str, _Cut] = {}
        self._ended: dict[str, _Ended] = {}
        self._written: dict[str, tuple[int, float, float]] = {}  # entries ever added, the time, what may be written

    @property
    def trouble(self) -> str:
        """Return who is cut off or had connections ended, as a sentence; nothing when nobody."""
        names = self._accounts.streams
        off = [f"{names.get(i, i)} ({cut.times} times)" for i, cut in sorted(self._cuts.items()) if cut.is_off]
        ended = [f"{names.get(i, i)} ({one.count})" for i, one in sorted(self._ended.items())]
        said = [f"over its share of the intake and cut off until it is moved: {', '.join(off)}"] if off else []
        return "; ".join(said + ([f"connections ended beyond an app's share: {', '.join(ended)}"] if ended else []))

    def enforce(self) -> float | None:
        """Cut off who is over its share, and let in again who is not any more. Raises `RedisUnavailable`.

        Returns after how many seconds somebody could be let in, None when nobody waits for that.
        """
        streams = self._accounts.streams
        self._cuts = {instance: cut for instance, cut in self._cuts.items() if instance in streams}
        if not streams:
            return None
        share, now = self._bytes // len(streams), self._clock.monotonic()
        keys = [key for instance, stream in streams.items() for key in (stream, lock_key_of(instance))]
        sizes = dict(zip(keys, self._intake.memory_of(keys), strict=True))
        before, told = self._off(), set(self._ended)
        self._limit_connections(streams, now)
        self._ended = {i: one for i, one in self._ended.items() if i in streams and now < one.told_until}
        hurried = self._hurried(streams, now)
        for instance, stream in streams.items():
            lock = lock_key_of(instance)
            if sizes[lock] > LOCK_BYTES_MAX:
                log.warning("the lock of %s has %d bytes; it is dropped", stream, sizes[lock])
                self._intake.delete(lock)
            held = sizes[stream] + sizes[lock]
            self._judge(instance, stream, held=held, share=share, now=now, hurried_s=hurried.get(instance, 0.0))
        if self._off() != before:
            self._accounts.cut_off(self._off())
            self._accounts.apply(self._intake)
        if self._off() != before or self._ended.keys() != told:
            self._changed()
        return min((max(LOOK_S, cut.until - now) for cut in self._cuts.values() if cut.is_off), default=None)

    def _limit_connections(self, streams: Mapping[str, str], now: float) -> None:
        """End the newest connections of who has more than its share."""
        allowed = max(CONNECTIONS_MIN, min(CONNECTIONS_MAX, self._connections // len(streams)))
        users = {user_of(instance): instance for instance in streams}
        open_of: dict[str, list[int]] = {}
        for number, user in self._intake.connections():
            if user in users:
                open_of.setdefault(users[user], []).append(number)
        for instance, numbers in open_of.items():
            for number in numbers[allowed:]:
                self._intake.end_connection(number)
            if len(numbers) > allowed:
                known = self._ended.get(instance)
                count = len(numbers) - allowed + (known.count if known is not None else 0)
                self._ended[instance] = _Ended(count, now + TOLD_S)
                log.warning("%s has %d connections: those beyond %d end", streams[instance], len(numbers), allowed)

    def _hurried(self, streams: Mapping[str, str], now: float) -> dict[str, float]:
        """Return who has written more than it may in the last seconds, and in how many it would have been right."""
        if not self._rate:
            return {}
        hurried: dict[str, float] = {}
        written: dict[str, tuple[int, float, float]] = {}
        added = self._intake.added_to(list(streams.values()))
        for instance, count in zip(streams, added, strict=True):
            before, at, left = self._written.get(instance, (count, now, self._rate * BURST_S))
            left = min(self._rate * BURST_S, left + (now - at) * self._rate) - max(0, count - before)
            if left < 0:
                hurried[instance] = -left / self._rate
            written[instance] = (count, now, left)
        self._written = written
        return hurried

    def _judge(self, instance: str, stream: str, *, held: int, share: int, now: float, hurried_s: float) -> None:
        cut = self._cuts.get(instance)
        if (held > share or hurried_s) and (cut is None or not cut.is_off):
            times = 1 if cut is None else cut.times + 1
            self._cuts[instance] = _Cut(times, now + max(hurried_s, AGAIN.delay_s(times - 1, 1.0)))
            why = f"holds {held} bytes of the intake, more than its share of {share}"
            log.warning("%s %s: it is cut off", stream, "writes faster than it may" if hurried_s else why)
        elif cut is not None and cut.is_off and held <= share // 2 and now >= cut.until:
            cut.is_off = False
            cut.until = now
        elif cut is not None and not cut.is_off and now - cut.until > AGAIN.max_s:
            del self._cuts[instance]

    def _off(self) -> frozenset[str]:
        return frozenset(instance for instance, cut in self._cuts.items() if cut.is_off)
