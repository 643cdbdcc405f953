"""Cursors: what is held of each (device, stream, epoch)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from cloud.ranges import NOTHING, Held
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


_C = cursors.c
_COLUMNS = (_C.device, _C.stream, _C.epoch, _C.contiguous, _C.ranges, _C.stored, _C.gaps)


def get(tx: Connection, device: str, stream: str, epoch: int) -> Cursor | None:
    place = (_C.device == device, _C.stream == stream, _C.epoch == epoch)
    row = tx.execute(select(*_COLUMNS).where(*place)).first()
    return None if row is None else _cursor(row)


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
    return int(tx.execute(select(func.count()).select_from(cursors).where(_C.device == device)).scalar_one())


def put(tx: Connection, cursor: Cursor, *, now_ms: int) -> None:
    values = {
        "contiguous": cursor.held.contiguous,
        "ranges": json.dumps(cursor.held.ranges),
        "stored": cursor.stored,
        "gaps": cursor.gaps,
        "updated_ms": now_ms,
    }
    place = (_C.device == cursor.device, _C.stream == cursor.stream, _C.epoch == cursor.epoch)
    if tx.execute(update(cursors).where(*place).values(**values)).rowcount == 0:
        named = {"device": cursor.device, "stream": cursor.stream, "epoch": cursor.epoch}
        tx.execute(insert(cursors).values(**named, **values))


def _cursor(row: Sequence[Any]) -> Cursor:
    device, stream, epoch, contiguous, ranges, stored, gaps = row
    held = Held(contiguous, tuple((low, high) for low, high in json.loads(ranges)))
    return Cursor(device, stream, epoch, held, stored, gaps)
