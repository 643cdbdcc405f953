"""The reported state of each device: the newest one only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select, update

from broker.messages import Conn, Status
from cloud.store.schema import devices, status


@dataclass(frozen=True)
class Held:
    """Which status is held."""

    conn: Conn
    revision: int
    n: int


@dataclass(frozen=True)
class Reported:
    """A status with the time it came."""

    status: Status
    received_ms: int


def held(tx: Connection, device: str) -> Held | None:
    columns = (status.c.boot, status.c.count, status.c.revision, status.c.n)
    row = tx.execute(select(*columns).where(status.c.device == device)).first()
    return None if row is None else Held(Conn(boot=row[0], count=row[1]), row[2], row[3])


def held_of(tx: Connection, devices: Sequence[str]) -> dict[str, Held]:
    """Return which status is held of each of these devices that has sent one."""
    columns = (status.c.device, status.c.boot, status.c.count, status.c.revision, status.c.n)
    found = tx.execute(select(*columns).where(status.c.device.in_(devices)))
    return {row[0]: Held(Conn(boot=row[1], count=row[2]), row[3], row[4]) for row in found}


def put(tx: Connection, device: str, message: Status, *, now_ms: int) -> None:
    values = {
        "boot": message.conn.boot,
        "count": message.conn.count,
        "n": message.n,
        "revision": message.revision,
        "body": message.model_dump_json().encode(),
        "received_ms": now_ms,
    }
    if tx.execute(update(status).where(status.c.device == device).values(**values)).rowcount == 0:
        tx.execute(insert(status).values(device=device, **values))


def get(tx: Connection, device: str) -> Reported | None:
    row = tx.execute(select(status.c.body, status.c.received_ms).where(status.c.device == device)).first()
    return None if row is None else _reported(row)


def of_org(tx: Connection, org: str) -> dict[str, Reported]:
    found = select(status.c.body, status.c.received_ms, status.c.device)
    found = found.join(devices, devices.c.device == status.c.device).where(devices.c.org == org)
    return {row[2]: _reported(row) for row in tx.execute(found)}


def _reported(row: Sequence[Any]) -> Reported:
    return Reported(Status.model_validate_json(row[0]), row[1])
