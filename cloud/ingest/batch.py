"""Batches: stored once, acknowledged as often as they come; what cannot be stored is refused by range and reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from broker.clock import Clock
from broker.errors import Refused
from broker.ids import DeviceRef
from broker.messages import Batch, Refusal
from cloud.ingest.turn import Seen, Turn
from cloud.ranges import Held, Range, count
from cloud.store import batches, cursors, expired, gaps, presence
from cloud.store.cursors import Cursor
from cloud.throttle import Throttle

ELEMENTS_MAX = 100_000
CURSORS_MAX = 10_000  # (stream, epoch) pairs of one device: each start of its store makes a new epoch
FOLDED_AT_ONCE = 1_000
CURSORS_RETRY_S = 3600  # a device with so many in use has to be done with some first
RANGES_RETRY_S = 30  # holes close when older batches arrive


@dataclass(frozen=True)
class Parts:
    """A batch by numbers: which have data, which are named as lost."""

    data: tuple[Range, ...]
    lost: tuple[Range, ...]


def parts(first: int, last: int, lost: Sequence[Range]) -> Parts:
    """Return the numbers of a batch in their parts; raise `Refused` (`bad_numbers`) when they do not fit together."""
    if not 1 <= first <= last:
        raise Refused("bad_numbers", f"a batch from {first} to {last}: numbers begin at 1 and grow")
    if not lost:
        return Parts(((first, last),), ())
    before = first - 1
    for low, high in lost:
        if not before < low <= high <= last:
            raise Refused("bad_numbers", f"gap {low} to {high} overlaps another one or leaves {first} to {last}")
        before = high
    held = Held()
    for low, high in lost:
        held = held.add(low, high)
    return Parts(held.missing(first, last), tuple(lost))


class BatchHandler:
    """Writes batches, gaps and cursors in one transaction, so that an acknowledgement never says too much."""

    def __init__(self, quota: Throttle, clock: Clock) -> None:
        self._quota = quota
        self._clock = clock

    def handle(self, turn: Turn, device: DeviceRef, message: Batch) -> None:
        refusals = turn.touch(device).streams.setdefault((message.stream, message.epoch), [])
        try:
            retry_s = self._store(turn, device, message)
        except Refused as error:
            refusals.append(Refusal(first=message.first, last=message.last, reason=error.reason))
            return
        if retry_s is not None:
            refusals.append(
                Refusal(first=message.first, last=message.last, reason="not_now", retry_after_s=max(1, round(retry_s)))
            )

    def _store(self, turn: Turn, device: DeviceRef, batch: Batch) -> float | None:
        """Store the batch or find it stored; return the seconds to wait where it cannot be stored now.

        Raises `Refused` before anything was written when it can never be stored.
        """
        numbered = parts(batch.first, batch.last, [(gap.first, gap.last) for gap in batch.gaps])
        elements = count(numbered.data)
        if elements > ELEMENTS_MAX:
            raise Refused("too_many_elements", f"{elements} elements, at most {ELEMENTS_MAX} travel together")
        cursor = self._cursor(turn, device, batch)
        if cursor is None:
            return CURSORS_RETRY_S
        whole = (batch.first, batch.last)
        is_new = cursor.held.missing(*whole) == (whole,)  # the usual case: then nothing stored can be touched by it
        if elements and not is_new:
            turn.intake.flush()
            stored = batches.overlapping(turn.tx, device.device, batch)
            if stored is not None and batches.is_same(stored, batch):
                return None
            if stored is not None:
                raise Refused("overlap", f"{stored.first} to {stored.last} are stored with other content")
            if self._has_expired(turn, device, batch):
                return None
        try:
            held = cursor.held.add(batch.first, batch.last)
        except Refused:
            return RANGES_RETRY_S
        wait_s = self._quota.take(str(device), len(batch.payload), now_s=self._clock.monotonic())
        if wait_s:
            return wait_s
        self._write(turn, device, batch, numbered, cursor, held=held)
        return None

    def _has_expired(self, turn: Turn, device: DeviceRef, batch: Batch) -> bool:
        """Return whether a batch is one that was stored, acknowledged, and dropped since for its age."""
        dropped = expired.ranges_of(turn.tx, device.device, batch.stream, batch.epoch)
        return any(first <= batch.last and batch.first <= last for first, last in dropped)

    def _cursor(self, turn: Turn, device: DeviceRef, batch: Batch) -> Cursor | None:
        """Return what is held of the batch's place; None when the device has too many, all of them in use."""
        place = (device.device, batch.stream, batch.epoch)
        known = turn.intake.cursor(place)
        if known is not None:
            return known
        if cursors.count(turn.tx, device.device) >= CURSORS_MAX and not self._fold(turn, device):
            return None
        return Cursor(*place)

    def _fold(self, turn: Turn, device: DeviceRef) -> int:
        """Fold the epochs that the device has done with: it names those that it keeps in its birth."""
        birth = presence.get(turn.tx, device.device).birth
        if birth is None:
            return 0
        turn.intake.flush()
        kept = {(stream.stream, stream.epoch) for stream in birth.streams} | set(turn.touch(device).streams)
        return cursors.fold(turn.tx, device.device, kept, limit=FOLDED_AT_ONCE, now_ms=turn.now_ms)

    def _write(
        self, turn: Turn, device: DeviceRef, batch: Batch, numbered: Parts, cursor: Cursor, *, held: Held
    ) -> None:
        """Stored wins over a gap where both exist: data takes numbers out of gaps, a gap leaves stored ones alone."""
        tx, now_ms, was = turn.tx, turn.now_ms, cursor.held
        place = (device.device, batch.stream, batch.epoch)
        filled = lost = 0
        if numbered.data:
            turn.intake.add(device.device, batch)
        if numbered.data and was.missing(batch.first, batch.last) != ((batch.first, batch.last),):
            filled = sum(gaps.fill(tx, *place, data, now_ms=now_ms) for data in numbered.data)
        for gap in batch.gaps:
            for first, last in was.missing(gap.first, gap.last):
                gaps.add(tx, gaps.StoredGap(*place, first, last, gap.cause), now_ms=now_ms)
                lost += last - first + 1
        stored = cursor.stored + count(numbered.data)
        turn.intake.put(Cursor(*place, held, stored, cursor.gaps + lost - filled))
        shown: dict[str, object] = {
            "device": device.device,
            "stream": batch.stream,
            "epoch": batch.epoch,
            "first": batch.first,
            "last": batch.last,
            "gaps": [[gap.first, gap.last] for gap in batch.gaps],
        }
        turn.seen.append(Seen(device, "telemetry", shown))
