"""Expired: numbers whose data was stored and has been dropped since, because an organisation keeps it for so long."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, delete, select

from cloud.ranges import Range, without_holes
from cloud.store import bulk
from cloud.store.schema import batches, devices, expired, orgs

_B, _E = batches.c, expired.c


def keepers(tx: Connection) -> list[tuple[str, int]]:
    """Return each device of an organisation that does not keep everything, and the days that it keeps it."""
    found = select(devices.c.device, orgs.c.keep_days).join(orgs, orgs.c.org == devices.c.org)
    return [(row[0], row[1]) for row in tx.execute(found.where(orgs.c.keep_days.is_not(None)))]


def has_older(tx: Connection, device: str, *, received_before_ms: int) -> bool:
    """Return whether there is something of a device to drop."""
    found = select(_B.first).where(_B.device == device, _B.received_ms < received_before_ms).limit(1)
    return tx.execute(found).first() is not None


def drop(tx: Connection, device: str, *, received_before_ms: int, limit: int) -> int:
    """Drop up to `limit` of a device's oldest batches that came before a time; return how many."""
    columns = (_B.stream, _B.epoch, _B.first, _B.last, _B.gaps)
    old = select(*columns).where(_B.device == device, _B.received_ms < received_before_ms)
    rows = tx.execute(old.order_by(_B.received_ms).limit(limit)).all()
    places = sorted({(row[0], row[1]) for row in rows})
    for stream, epoch in places:
        gone = [row for row in rows if (row[0], row[1]) == (stream, epoch)]
        dropped = [part for row in gone for part in without_holes((row[2], row[3]), json.loads(row[4]))]
        held = merged([*ranges_of(tx, device, stream, epoch), *dropped])
        row = {
            "device": device, "stream": stream, "epoch": epoch, "ranges": json.dumps(held),
            "before_ms": received_before_ms,
        }  # fmt: skip
        bulk.put(tx, expired, [row])
        here = (_B.device == device, _B.stream == stream, _B.epoch == epoch)
        tx.execute(delete(batches).where(*here, _B.first.in_([row[2] for row in gone])))
    return len(rows)


def ranges_of(tx: Connection, device: str, stream: str, epoch: int) -> list[Range]:
    """Return the numbers of a stream's epoch that are dropped, in order."""
    row = tx.execute(select(_E.ranges).where(*_at(device, stream, epoch))).first()
    return [] if row is None else [(first, last) for first, last in json.loads(row[0])]


def before_ms(tx: Connection, device: str) -> dict[tuple[str, int], int]:
    """Return of each (stream, epoch) the time before which what came may be dropped."""
    found = select(_E.stream, _E.epoch, _E.before_ms).where(_E.device == device)
    return {(row[0], row[1]): row[2] for row in tx.execute(found)}


def merged(ranges: Sequence[Range]) -> list[Range]:
    """Return ranges in order, joined where they touch."""
    joined: list[Range] = []
    for first, last in sorted(ranges):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(joined[-1][1], last))
        else:
            joined.append((first, last))
    return joined


def _at(device: str, stream: str, epoch: int) -> tuple[ColumnElement[bool], ...]:
    return (_E.device == device, _E.stream == stream, _E.epoch == epoch)
