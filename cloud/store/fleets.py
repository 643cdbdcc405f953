"""Fleets: groups of devices that run the same app instances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, and_, func, insert, select

from cloud.store.schema import devices, fleets

DEFAULT = "default"


@dataclass(frozen=True)
class Fleet:
    fleet: str
    org: str
    name: str


def add(tx: Connection, fleet: Fleet, *, now_ms: int) -> None:
    tx.execute(insert(fleets).values(fleet=fleet.fleet, org=fleet.org, name=fleet.name, created_ms=now_ms))


def named(tx: Connection, org: str, name: str) -> Fleet | None:
    found = select(fleets.c.fleet, fleets.c.org, fleets.c.name).where(
        fleets.c.org == org, fleets.c.name == name, fleets.c.deleted_ms.is_(None)
    )
    row = tx.execute(found).first()
    return None if row is None else Fleet(*row)


def counted(tx: Connection, org: str) -> Sequence[tuple[Fleet, int]]:
    """Return the organisation's fleets by name, each with its number of devices."""
    members = and_(devices.c.fleet == fleets.c.fleet, devices.c.deleted_ms.is_(None))
    found = (
        select(fleets.c.fleet, fleets.c.org, fleets.c.name, func.count(devices.c.device))
        .outerjoin(devices, members)
        .where(fleets.c.org == org, fleets.c.deleted_ms.is_(None))
        .group_by(fleets.c.fleet)
        .order_by(fleets.c.name)
    )
    return [(Fleet(*row[:3]), int(row[3])) for row in tx.execute(found)]
