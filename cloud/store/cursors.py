"""Cursors: what is held of each (device, stream, epoch).

A device makes a new epoch at every start of its store. Those it has done with are folded: their counts are added up in
one row of the stream, with the epoch 0, and what they held can be made out again from batches and gaps.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, func, select, tuple_

from cloud.ranges import NOTHING, Held
from cloud.store import batches, bulk, expired, gaps
from cloud.store.schema import cursors, devices


@dataclass(frozen=True)
class Cursor:
    """`stored` and `gaps` count numbers: those with data, and those named as lost."""

    device: str
    stream: str
    epoch: int
    held: Held = NOTHING
    stored: int = 0
    gaps: int = 0


FOLDED = 0  # an epoch that no device makes

_C = cursors.c
_COLUMNS = (_C.device, _C.stream, _C.epoch, _C.contiguous, _C.ranges, _C.stored, _C.gaps)


def get(tx: Connection, device: str, stream: str, epoch: int) -> Cursor | None:
    row = tx.execute(select(*_COLUMNS).where(*_at(device, stream, epoch))).first()
    return None if row is None else _cursor(row)


def of_places(tx: Connection, places: Collection[tuple[str, str, int]]) -> Sequence[Cursor]:
    """Return the cursors that there are of (device, stream, epoch)."""
    here = tuple_(_C.device, _C.stream, _C.epoch)
    return [_cursor(row) for row in tx.execute(select(*_COLUMNS).where(here.in_(list(places))))]


def of_device(tx: Connection, device: str) -> Sequence[Cursor]:
    found = select(*_COLUMNS).where(_C.device == device).order_by(_C.stream, _C.epoch)
    return [_cursor(row) for row in tx.execute(found)]


def of_org(tx: Connection, org: str) -> dict[str, list[Cursor]]:
    found = select(*_COLUMNS).join(devices, devices.c.device == _C.device).where(devices.c.org == org)
    by_device: dict[str, list[Cursor]] = {}
    for row in tx.execute(found.order_by(_C.stream, _C.epoch)):
        by_device.setdefault(row[0], []).append(_cursor(row))
    return by_device


def count(tx: Connection, device: str) -> int:
    """Return how many epochs of how many streams a device has, those aside that are folded."""
    found = select(func.count()).select_from(cursors).where(_C.device == device, _C.epoch != FOLDED)
    return int(tx.execute(found).scalar_one())


def fold(tx: Connection, device: str, kept: Collection[tuple[str, int]], *, limit: int, now_ms: int) -> int:
    """Fold up to `limit` of the longest unchanged cursors without holes, save those of `kept`; return how many."""
    place = (_C.device == device, _C.epoch != FOLDED, _C.ranges == json.dumps(()))
    oldest = select(*_COLUMNS).where(*place).order_by(_C.updated_ms).limit(limit + len(kept))
    done = [c for c in map(_cursor, tx.execute(oldest)) if (c.stream, c.epoch) not in kept][:limit]
    for cursor in done:
        tx.execute(delete(cursors).where(*_at(device, cursor.stream, cursor.epoch)))
    for stream in sorted({cursor.stream for cursor in done}):
        of_stream = [cursor for cursor in done if cursor.stream == stream]
        _add(tx, device, stream, sum(c.stored for c in of_stream), sum(c.gaps for c in of_stream), now_ms=now_ms)
    return len(done)


def unfold(tx: Connection, device: str, stream: str, epoch: int, *, now_ms: int) -> Cursor | None:
    """Return a folded cursor as it was, made out from what is stored, and no longer folded; None where none was."""
    if get(tx, device, stream, FOLDED) is None:
        return None
    place, held = (device, stream, epoch), NOTHING
    named = gaps.ranges_of(tx, *place)
    for first, last in sorted([*named, *batches.ranges_of(tx, *place), *expired.ranges_of(tx, *place)]):
        held = held.add(first, last)  # in order, so that nothing is apart for a while
    lost = sum(last - first + 1 for first, last in named)
    if held == NOTHING:
        return None
    total = held.contiguous + sum(last - first + 1 for first, last in held.ranges)
    cursor = Cursor(device, stream, epoch, held, total - lost, lost)
    put(tx, cursor, now_ms=now_ms)
    _add(tx, device, stream, -cursor.stored, -cursor.gaps, now_ms=now_ms)
    return cursor


def _add(tx: Connection, device: str, stream: str, stored: int, gaps_: int, *, now_ms: int) -> None:
    known = get(tx, device, stream, FOLDED) or Cursor(device, stream, FOLDED)
    put(tx, replace(known, stored=known.stored + stored, gaps=known.gaps + gaps_), now_ms=now_ms)


def put(tx: Connection, cursor: Cursor, *, now_ms: int) -> None:
    put_all(tx, [cursor], now_ms=now_ms)


def put_all(tx: Connection, changed: Sequence[Cursor], *, now_ms: int) -> None:
    bulk.put(tx, cursors, [_row(cursor, now_ms=now_ms) for cursor in changed])


def _row(cursor: Cursor, *, now_ms: int) -> dict[str, Any]:
    return {
        "device": cursor.device,
        "stream": cursor.stream,
        "epoch": cursor.epoch,
        "contiguous": cursor.held.contiguous,
        "ranges": json.dumps(cursor.held.ranges) if cursor.held.ranges else "[]",
        "stored": cursor.stored,
        "gaps": cursor.gaps,
        "updated_ms": now_ms,
    }


def _at(device: str, stream: str, epoch: int) -> tuple[ColumnElement[bool], ...]:
    return (_C.device == device, _C.stream == stream, _C.epoch == epoch)


def _cursor(row: Sequence[Any]) -> Cursor:
    device, stream, epoch, contiguous, ranges, stored, gaps = row
    held = Held(contiguous, tuple((low, high) for low, high in json.loads(ranges)))
    return Cursor(device, stream, epoch, held, stored, gaps)
