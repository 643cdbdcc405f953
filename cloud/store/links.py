"""How links may be used: what was set for a fleet, and for one device beside that."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select, update

from cloud.store.schema import devices, fleets

Settings = Mapping[str, Any]


def of_fleet(tx: Connection, fleet: str) -> Settings:
    return _read(tx.execute(select(fleets.c.link).where(fleets.c.fleet == fleet)).scalar_one())


def of_device(tx: Connection, device: str) -> Settings:
    return _read(tx.execute(select(devices.c.link).where(devices.c.device == device)).scalar_one())


def put_fleet(tx: Connection, fleet: str, settings: Settings) -> None:
    tx.execute(update(fleets).where(fleets.c.fleet == fleet).values(link=json.dumps(settings, sort_keys=True)))


def put_device(tx: Connection, device: str, settings: Settings) -> None:
    tx.execute(update(devices).where(devices.c.device == device).values(link=json.dumps(settings, sort_keys=True)))


def of_devices(tx: Connection, names: Sequence[str]) -> dict[str, Settings]:
    """Return what holds for each device: what its fleet has, and over that what was set for itself."""
    found = (
        select(devices.c.device, fleets.c.link, devices.c.link)
        .join(fleets, fleets.c.fleet == devices.c.fleet)
        .where(devices.c.device.in_(names))
    )
    return {row[0]: {**_read(row[1]), **_read(row[2])} for row in tx.execute(found)}


def _read(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text)
    return found
