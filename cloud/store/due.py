"""Devices to which something may have to be issued: written when a wish changes, removed by who issues."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, insert, select

from cloud.store import devices as devices_store
from cloud.store.devices import Device
from cloud.store.schema import devices, due


def add_fleet(tx: Connection, fleet: str) -> None:
    """Every device of the fleet is due."""
    known = select(due.c.device)
    found = select(devices.c.device).where(
        devices.c.fleet == fleet, devices.c.deleted_ms.is_(None), devices.c.device.not_in(known)
    )
    tx.execute(insert(due).from_select(["device"], found))


def add_device(tx: Connection, device: str) -> None:
    """One device is due."""
    if tx.execute(select(due.c.device).where(due.c.device == device)).first() is None:
        tx.execute(insert(due).values(device=device))


def drop_device(tx: Connection, device: str) -> None:
    """Nothing is issued to a device that is gone."""
    tx.execute(delete(due).where(due.c.device == device))


def take(tx: Connection, limit: int, *, fleet: str | None = None) -> Sequence[Device]:
    """Return devices that are due, in the order of their ids, and take them off: in a transaction that serves them."""
    found = devices_store.columns().join(due, due.c.device == devices.c.device)
    if fleet is not None:
        found = found.where(devices.c.fleet == fleet)
    page = [Device(*row) for row in tx.execute(found.order_by(devices.c.device).limit(limit))]
    if page:
        tx.execute(delete(due).where(due.c.device.in_([device.device for device in page])))
    return page


def any_left(tx: Connection) -> bool:
    return tx.execute(select(due.c.device).limit(1)).first() is not None
