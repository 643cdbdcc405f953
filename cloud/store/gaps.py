"""Gaps: numbers of a stream that no longer exist, with the reason. Rows of one stream never overlap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, delete, insert, select

from cloud.ranges import Range, count, without
from cloud.store.schema import devices, gaps


@dataclass(frozen=True)
class StoredGap:
    device: str
    stream: str
    epoch: int
    first: int
    last: int
    cause: str


_COLUMNS = tuple(gaps.c[name] for name in StoredGap.__dataclass_fields__)


def add(tx: Connection, gap: StoredGap, *, now_ms: int) -> None:
    """Add a gap none of whose numbers is in another one."""
    tx.execute(insert(gaps).values(**asdict(gap), received_ms=now_ms))


def fill(tx: Connection, device: str, stream: str, epoch: int, stored: Range, *, now_ms: int) -> int:
    """Take numbers out of the gaps, because data came for them after all; return how many there were."""
    place = (gaps.c.device == device, gaps.c.stream == stream, gaps.c.epoch == epoch)
    overlapping = (*place, gaps.c.first <= stored[1], gaps.c.last >= stored[0])
    found = [StoredGap(*row) for row in tx.execute(select(*_COLUMNS).where(*overlapping))]
    filled = 0
    for gap in found:
        tx.execute(delete(gaps).where(*place, gaps.c.first == gap.first))
        left = without((gap.first, gap.last), stored)
        filled += gap.last - gap.first + 1 - count(left)
        for first, last in left:
            add(tx, StoredGap(device, stream, epoch, first, last, gap.cause), now_ms=now_ms)
    return filled


def ranges_of(tx: Connection, device: str, stream: str, epoch: int) -> list[Range]:
    """Return the numbers of every gap of a stream's epoch, in order."""
    found = select(gaps.c.first, gaps.c.last).where(
        gaps.c.device == device, gaps.c.stream == stream, gaps.c.epoch == epoch
    )
    return [(first, last) for first, last in tx.execute(found.order_by(gaps.c.first))]


def places_of(tx: Connection, device: str) -> set[tuple[str, int]]:
    """Return every (stream, epoch) of which there is a gap."""
    found = select(gaps.c.stream, gaps.c.epoch).where(gaps.c.device == device).distinct()
    return {(stream, epoch) for stream, epoch in tx.execute(found)}


def causes_of(tx: Connection, device: str, stream: str, epoch: int) -> list[tuple[int, int, str]]:
    """Return every gap of a stream's epoch with its cause, in order."""
    found = select(gaps.c.first, gaps.c.last, gaps.c.cause).where(
        gaps.c.device == device, gaps.c.stream == stream, gaps.c.epoch == epoch
    )
    return [(first, last, cause) for first, last, cause in tx.execute(found.order_by(gaps.c.first))]


def of_org(tx: Connection, org: str, *, device: str | None, stream: str | None, limit: int) -> Sequence[StoredGap]:
    found = select(*_COLUMNS).join(devices, devices.c.device == gaps.c.device).where(devices.c.org == org)
    if device is not None:
        found = found.where(gaps.c.device == device)
    if stream is not None:
        found = found.where(gaps.c.stream == stream)
    ordered = found.order_by(gaps.c.device, gaps.c.stream, gaps.c.epoch, gaps.c.first)
    return [StoredGap(*row) for row in tx.execute(ordered.limit(limit))]
