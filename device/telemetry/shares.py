"""Each app's share of the intake: over it, an app is cut off until what it wrote is moved, so that others go on.

The intake has one memory for all. What an app holds of it is asked of the server, its lock included; an app over its
share loses account and connections, and gets them back when it holds half of it, each time after a longer wait.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from broker.backoff import Backoff
from broker.clock import Clock
from device.telemetry.accounts import Accounts, lock_key_of
from device.telemetry.connection import Client

log = logging.getLogger(__name__)

PART = 0.65  # of the intake's memory, for all shares; the rest is for connections and the server itself
LOCK_BYTES_MAX = 64 * 1024  # of a lock: no fitting one is as large, and nobody moves it away
AGAIN = Backoff(first_s=1.0, max_s=60.0)
LOOK_S = 0.5  # at most so often is looked whether one may be let in whose wait is over


@dataclass
class _Cut:
    """An app that was cut off: since its last calm, how often, and until when at least."""

    times: int
    until: float
    is_off: bool = True


class Shares:
    """Owns who is cut off. Called by the mover's thread."""

    def __init__(
        self, intake: Client, accounts: Accounts, *, bytes_max: int, clock: Clock, changed: Callable[[], None]
    ) -> None:
        self._intake = intake
        self._accounts = accounts
        self._bytes = int(bytes_max * PART)
        self._clock = clock
        self._changed = changed
        self._cuts: dict[str, _Cut] = {}

    @property
    def trouble(self) -> str:
        """Return who is cut off, as a sentence; nothing when nobody is."""
        names = self._accounts.streams
        off = [f"{names.get(i, i)} ({cut.times} times)" for i, cut in sorted(self._cuts.items()) if cut.is_off]
        return f"over its share of the intake and cut off until it is moved: {', '.join(off)}" if off else ""

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
        before = self._off()
        for instance, stream in streams.items():
            lock = lock_key_of(instance)
            if sizes[lock] > LOCK_BYTES_MAX:
                log.warning("the lock of %s has %d bytes; it is dropped", stream, sizes[lock])
                self._intake.delete(lock)
            self._judge(instance, stream, held=sizes[stream] + sizes[lock], share=share, now=now)
        if self._off() != before:
            self._accounts.cut_off(self._off())
            self._accounts.apply(self._intake)
            self._changed()
        return min((max(LOOK_S, cut.until - now) for cut in self._cuts.values() if cut.is_off), default=None)

    def _judge(self, instance: str, stream: str, *, held: int, share: int, now: float) -> None:
        cut = self._cuts.get(instance)
        if held > share and (cut is None or not cut.is_off):
            times = 1 if cut is None else cut.times + 1
            self._cuts[instance] = _Cut(times, now + AGAIN.delay_s(times - 1, 1.0))
            log.warning(
                "%s holds %d bytes of the intake, more than its share of %d: it is cut off", stream, held, share
            )
        elif cut is not None and cut.is_off and held <= share // 2 and now >= cut.until:
            cut.is_off = False
            cut.until = now
        elif cut is not None and not cut.is_off and now - cut.until > AGAIN.max_s:
            del self._cuts[instance]

    def _off(self) -> frozenset[str]:
        return frozenset(instance for instance, cut in self._cuts.items() if cut.is_off)
