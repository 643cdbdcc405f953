"""The meter of the link to the cloud: what the link policy still allows, and how fast bytes came.

Bytes are taken from the budget, on disk, before they are asked for, and given back when they did not come: a worker
that is killed may have counted too much, and never too little. The time is the cloud's own, told by its syncs and
carried on by the monotonic clock: the machine's clock is not asked.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from broker.files import StorageUnavailable, write_durably
from broker.messages import LinkPolicy
from device.images.allowance import Used, allowed, charged, rolled

log = logging.getLogger(__name__)
GRANT = 1024 * 1024  # what is asked for at once under a policy: a window that ends is overrun by no more
PAUSE_S = 5.0  # bytes so far apart are not of one measurement
MEASURE_S = 2.0
MEASURE_BYTES = 64 * 1024
NEWEST = 0.4  # of a rate is the newest measurement's


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True)

    used: Used = Used()
    rate_bytes_s: int | None = None


class Meter:
    """Owns one file. Any thread may use it."""

    def __init__(self, path: Path, *, monotonic: Callable[[], float]) -> None:
        self._path = path
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._link: LinkPolicy | None = None
        self._kept: _Kept | None = None
        self._time: tuple[int, float] | None = None
        self._counting_since = monotonic()
        self._measured_from = self._measured_to = 0.0
        self._measured = 0
        self._lines = 0

    def follow(self, link: LinkPolicy | None) -> None:
        """Keep to this policy from now on."""
        with self._lock:
            self._link = link

    def time_is(self, time_ms: int) -> None:
        """Learn the time from the cloud."""
        with self._lock:
            self._time = (time_ms, self._monotonic())

    @property
    def is_set(self) -> bool:
        return self._link is not None

    @property
    def is_moving(self) -> bool:
        """Whether bytes are being asked for right now."""
        return self._lines > 0

    def take(self, wanted: int) -> int:
        """Return how many of these bytes may be asked for now, at least one; raise `Waiting` where none may."""
        with self._lock:
            link = self._link
            if link is None:
                self._lines += 1
                return wanted
            kept, now_ms = self._load(), self._now_ms()
            since = self._monotonic() - self._counting_since
            used = rolled(kept.used, link, now_ms, counted_for_s=since)
            if used != kept.used and now_ms is None:
                self._counting_since = self._monotonic()
            left = allowed(link, used, now_ms)
            granted = min(wanted, GRANT) if left is None else min(wanted, GRANT, left)
            self._keep(kept.model_copy(update={"used": charged(used, granted)}))
            self._lines += 1
            return granted

    def settle(self, unused: int) -> None:
        """End what was taken: so many bytes of it did not come."""
        with self._lock:
            self._lines -= 1
            kept = self._load()
            if self._link is not None and unused:
                kept = kept.model_copy(update={"used": charged(kept.used, -unused)})
            rate = self._rate(kept.rate_bytes_s)
            try:
                self._keep(kept.model_copy(update={"rate_bytes_s": rate}))
            except StorageUnavailable as error:  # too much stays counted
                log.warning("%s", error)

    def moved(self, count: int) -> None:
        """Learn that bytes have come."""
        with self._lock:
            now = self._monotonic()
            if now - self._measured_to > PAUSE_S:
                self._measured_from, self._measured = now, 0
            self._measured_to = now
            self._measured += count

    def report(self) -> Mapping[str, int]:
        """Return what the cloud may know: the rate at which bytes came, and what was used of today's budget."""
        with self._lock:
            kept = self._load()
        found = {} if kept.rate_bytes_s is None else {"rate_bytes_s": kept.rate_bytes_s}
        return found | ({} if self._link is None else {"day_bytes": kept.used.day_bytes})

    def _rate(self, before: int | None) -> int | None:
        """Return the rate with what was measured since, where that is enough."""
        took = self._measured_to - self._measured_from
        if self._measured < MEASURE_BYTES or took <= 0 or (took < MEASURE_S and before is not None):
            return before
        newest = self._measured / took
        self._measured_from, self._measured = self._measured_to, 0
        return round(newest if before is None else before + NEWEST * (newest - before))

    def _now_ms(self) -> int | None:
        if self._time is None:
            return None
        time_ms, at = self._time
        return time_ms + int((self._monotonic() - at) * 1000)

    def _load(self) -> _Kept:
        if self._kept is None:
            try:
                self._kept = _Kept.model_validate_json(self._path.read_bytes())
            except FileNotFoundError:
                self._kept = _Kept()
            except (ValidationError, ValueError, OSError) as error:
                log.error("%s is broken; budgets begin anew: %s", self._path, error)
                self._kept = _Kept()
        return self._kept

    def _keep(self, kept: _Kept) -> None:
        if kept != self._kept:
            write_durably(self._path, kept.model_dump_json().encode())
            self._kept = kept
