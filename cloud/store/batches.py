"""Batches: opaque rows as they came; decoded only by who shows them. Rows of one stream never overlap."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, func, select

from broker.messages import Batch
from cloud.ranges import Range
from cloud.store import bulk
from cloud.store.schema import batches, devices


@dataclass(frozen=True)
class StoredBatch:
    """`gaps` are the numbers inside that have no element; `arrival` orders all batches of all devices."""

    device: str
    stream: str
    epoch: int
    first: int
    last: int
    format: str
    payload: bytes
    gaps: tuple[Range, ...]
    at_wall_ms: int
    received_ms: int
    arrival: int


_C = batches.c
_LAST_ARRIVAL = select(func.coalesce(func.max(_C.arrival), 0))
_COLUMNS = tuple(_C[name] for name in StoredBatch.__dataclass_fields__)


def overlapping(tx: Connection, device: str, batch: Batch) -> StoredBatch | None:
    """Return the stored batch with the greatest numbers among those that share some with `batch`."""
    place = (_C.device == device, _C.stream == batch.stream, _C.epoch == batch.epoch, _C.first <= batch.last)
    row = tx.execute(select(*_COLUMNS).where(*place).order_by(_C.first.desc()).limit(1)).first()
    found = None if row is None else _batch(row)
    return found if found is not None and found.last >= batch.first else None


def is_same(stored: StoredBatch, batch: Batch) -> bool:
    """Return whether `batch` is the stored one sent again."""
    same = (stored.first, stored.last, stored.format) == (batch.first, batch.last, batch.format)
    return same and stored.payload == batch.payload


def add(tx: Connection, rows: Sequence[tuple[str, Batch]], *, now_ms: int) -> None:
    """Add batches, each with its device, none of whose numbers is in another one."""
    if not rows:
        return
    arrival = int(tx.execute(_LAST_ARRIVAL).scalar_one()) + 1
    bulk.add(tx, batches, [_row(*row, now_ms=now_ms, arrival=arrival + place) for place, row in enumerate(rows)])


def ranges_of(tx: Connection, device: str, stream: str, epoch: int) -> list[Range]:
    """Return the numbers of every batch of a stream's epoch, in order."""
    found = select(_C.first, _C.last).where(_C.device == device, _C.stream == stream, _C.epoch == epoch)
    return [(first, last) for first, last in tx.execute(found.order_by(_C.first))]


def places_of(tx: Connection, device: str) -> set[tuple[str, int]]:
    """Return every (stream, epoch) of which there is a batch."""
    found = select(_C.stream, _C.epoch).where(_C.device == device).distinct()
    return {(stream, epoch) for stream, epoch in tx.execute(found)}


def parts_of(tx: Connection, device: str, stream: str, epoch: int) -> list[tuple[int, int, tuple[Range, ...]]]:
    """Return the numbers of every batch of a stream's epoch, in order, with those inside that have no element."""
    found = select(_C.first, _C.last, _C.gaps).where(_C.device == device, _C.stream == stream, _C.epoch == epoch)
    return [
        (first, last, tuple((low, high) for low, high in json.loads(gaps)))
        for first, last, gaps in tx.execute(found.order_by(_C.first))
    ]


@dataclass(frozen=True)
class Of:
    """Which batches: an organisation's, of one format; of one device or stream where these are named."""

    org: str
    format: str
    device: str | None = None
    stream: str | None = None


def from_arrival(tx: Connection, of: Of, *, at_least: int, limit: int) -> Sequence[StoredBatch]:
    """Return batches in the order in which they came."""
    found = _of(of).where(_C.arrival >= at_least)
    return [_batch(row) for row in tx.execute(found.order_by(_C.arrival).limit(limit))]


def back_from_arrival(tx: Connection, of: Of, *, at_most: int, limit: int) -> Sequence[StoredBatch]:
    """Return batches in the opposite order, the newest first."""
    found = _of(of).where(_C.arrival <= at_most)
    return [_batch(row) for row in tx.execute(found.order_by(_C.arrival.desc()).limit(limit))]


def _of(of: Of) -> Select[*tuple[Any, ...]]:
    found = select(*_COLUMNS).join(devices, devices.c.device == _C.device)
    found = found.where(devices.c.org == of.org, _C.format == of.format)
    if of.device is not None:
        found = found.where(_C.device == of.device)
    return found if of.stream is None else found.where(_C.stream == of.stream)


def _row(device: str, batch: Batch, *, now_ms: int, arrival: int) -> dict[str, Any]:
    return {
        "device": device,
        "stream": batch.stream,
        "epoch": batch.epoch,
        "first": batch.first,
        "last": batch.last,
        "format": batch.format,
        "payload": batch.payload,
        "gaps": json.dumps([(gap.first, gap.last) for gap in batch.gaps]) if batch.gaps else "[]",
        "at_boot": batch.at.boot,
        "at_mono_ms": batch.at.mono_ms,
        "at_wall_ms": batch.at.wall_ms,
        "at_clock": batch.at.clock,
        "received_ms": now_ms,
        "arrival": arrival,
    }


def _batch(row: Sequence[Any]) -> StoredBatch:
    values = dict(zip(StoredBatch.__dataclass_fields__, row, strict=True))
    values["gaps"] = tuple((first, last) for first, last in json.loads(values["gaps"]))
    return StoredBatch(**values)
