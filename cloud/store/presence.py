"""Presence: the latest connection of each device, what its birth said, and when it was last heard."""

from __future__ import annotations

import functools
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, insert, select, update

from broker.messages import Birth, Conn, Generation
from cloud.store.schema import devices, presence


@dataclass(frozen=True)
class Presence:
    """`boots` is, per boot and installation seen (`<boot id> <installation id>`, the latest at the end), the newest
    (count of connections, n) of its births; `reported` a claimed number."""

    device: str
    conn: Conn | None = None
    n: int = 0
    online: bool = False
    last_seen_ms: int | None = None
    birth: Birth | None = None
    boots: Mapping[str, tuple[int, int]] | None = None
    contested: bool = False
    accepted: Generation | None = None
    reported: tuple[int, int] = (0, 0)
    sync_n: int = 0


_C = presence.c
_COLUMNS = (
    _C.device, _C.boot, _C.count, _C.n, _C.online, _C.last_seen_ms, _C.birth, _C.boots, _C.contested,
    _C.accepted_era, _C.accepted_generation, _C.accepted_digest, _C.reported_era, _C.reported_generation, _C.sync_n,
)  # fmt: skip


def get(tx: Connection, device: str) -> Presence:
    """Return what is known, which is nothing for a device that was never heard."""
    row = tx.execute(select(*_COLUMNS).where(_C.device == device)).first()
    return Presence(device) if row is None else _presence(row)


def of_devices(tx: Connection, ids: Sequence[str]) -> dict[str, Presence]:
    """Return what is known of each of these devices that was ever heard."""
    return {row[0]: _presence(row) for row in tx.execute(select(*_COLUMNS).where(_C.device.in_(ids)))}


def reported_of(tx: Connection, devices: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Return the highest (era, generation) that each of these devices has claimed."""
    found = select(_C.device, _C.reported_era, _C.reported_generation).where(_C.device.in_(devices))
    return {row[0]: (row[1], row[2]) for row in tx.execute(found)}


def of_org(tx: Connection, org: str) -> dict[str, Presence]:
    found = select(*_COLUMNS).join(devices, devices.c.device == _C.device).where(devices.c.org == org)
    return {row[0]: _presence(row) for row in tx.execute(found)}


def put(tx: Connection, seen: Presence) -> None:
    accepted = seen.accepted
    values = {
        "boot": seen.conn.boot if seen.conn else None,
        "count": seen.conn.count if seen.conn else None,
        "n": seen.n,
        "online": seen.online,
        "last_seen_ms": seen.last_seen_ms,
        "birth": seen.birth.model_dump_json().encode() if seen.birth else None,
        "boots": json.dumps(dict(seen.boots or {})),
        "contested": seen.contested,
        "accepted_era": accepted.era if accepted else None,
        "accepted_generation": accepted.generation if accepted else None,
        "accepted_digest": accepted.digest if accepted else None,
        "reported_era": seen.reported[0],
        "reported_generation": seen.reported[1],
        "sync_n": seen.sync_n,
    }
    if tx.execute(update(presence).where(_C.device == seen.device).values(**values)).rowcount == 0:
        tx.execute(insert(presence).values(device=seen.device, **values))


def count_syncs(tx: Connection, numbers: Mapping[str, int], *, never_heard: Collection[str]) -> None:
    """Remember the number of the last sync of each device."""
    for device in never_heard:
        put(tx, Presence(device))
    counted = update(presence).where(_C.device == bindparam("of")).values(sync_n=bindparam("sync"))
    if numbers:
        tx.execute(counted, [{"of": device, "sync": n} for device, n in numbers.items()])


def silent(tx: Connection, *, heard_before_ms: int) -> Sequence[tuple[str, str]]:
    """Return (org, device) of devices that count as online and were not heard since."""
    found = select(devices.c.org, devices.c.device).join(presence, devices.c.device == _C.device)
    return [(row[0], row[1]) for row in tx.execute(found.where(*_quiet(heard_before_ms)))]


def mark_silent(tx: Connection, *, heard_before_ms: int) -> Sequence[tuple[str, str]]:
    """Mark those devices offline and return them."""
    rows = silent(tx, heard_before_ms=heard_before_ms)
    tx.execute(update(presence).where(*_quiet(heard_before_ms)).values(online=False))
    return rows


def _quiet(heard_before_ms: int) -> tuple[ColumnElement[bool], ...]:
    return (_C.online.is_(True), _C.last_seen_ms < heard_before_ms)


@functools.lru_cache(4096)
def _birth(text: bytes) -> Birth:
    return Birth.model_validate_json(text)  # the same for each message of a connection


def _presence(row: Sequence[Any]) -> Presence:
    device, boot, count, n, online, seen_ms, birth, boots, contested = row[:9]
    era, generation, digest, reported_era, reported_generation, sync_n = row[9:]
    accepted = None if digest is None else Generation(era=era, generation=generation, digest=digest)
    return Presence(
        device=device,
        conn=None if boot is None else Conn(boot=boot, count=count),
        n=n,
        online=online,
        last_seen_ms=seen_ms,
        birth=None if birth is None else _birth(birth),
        boots={key: (value[0], value[1]) for key, value in json.loads(boots).items()},
        contested=contested,
        accepted=accepted,
        reported=(reported_era, reported_generation),
        sync_n=sync_n,
    )
