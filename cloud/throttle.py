"""Token buckets, one per key: how much of something each may use per minute. Pure but for what it remembers."""

from __future__ import annotations

import threading
from collections import OrderedDict

KEYS_MAX = 100_000  # the least recently seen are forgotten: they have full buckets by then


class Throttle:
    """`take` answers at once; nothing ever waits here. Safe from any thread."""

    def __init__(self, per_minute: float) -> None:
        self._per_minute = per_minute
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, key: str, amount: float, *, now_s: float) -> float:
        """Take `amount`; return 0, or the seconds until there would be enough, in which case nothing is taken."""
        with self._lock:
            left, at = self._buckets.pop(key, (self._per_minute, now_s))
            left = min(self._per_minute, left + max(0.0, now_s - at) * self._per_minute / 60)
            wanted = min(amount, self._per_minute)  # more than a minute's worth must fit some time as well
            enough = left >= wanted
            self._buckets[key] = (left - wanted if enough else left, now_s)
            if len(self._buckets) > KEYS_MAX:
                self._buckets.popitem(last=False)
            return 0.0 if enough else (wanted - left) * 60 / self._per_minute
