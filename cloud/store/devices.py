"""Devices. Ids are never used again: a deleted device stays as a tombstone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, Select, func, insert, or_, select, update

from broker.ids import DeviceRef
from cloud.store.schema import devices, fleets


@dataclass(frozen=True)
class Device:
    device: str
    org: str
    name: str
    fleet: str
    enrolled_ms: int
    key_number: int
    identity_key: bytes
    tls_key: str
    certificate: str
    trust: bytes
    enroll_token: str
    retire: str | None = None

    @property
    def ref(self) -> DeviceRef:
        return DeviceRef(self.org, self.device)


_COLUMNS = tuple(devices.c[name] for name in Device.__dataclass_fields__)


def columns() -> Select[*tuple[Any, ...]]:
    """Return a query for all that a `Device` holds of living ones, to be narrowed down."""
    return select(*_COLUMNS).where(devices.c.deleted_ms.is_(None))


def add(tx: Connection, device: Device) -> None:
    tx.execute(insert(devices).values(**asdict(device), shard=device.ref.shard))


def get(tx: Connection, org: str, device: str) -> Device | None:
    return _device(tx.execute(_living(org).where(devices.c.device == device)).first())


def find(tx: Connection, org: str, id_or_name: str) -> Device | None:
    """Return the device with this id or name; an id wins over a name that looks like one."""
    found = _living(org).where(or_(devices.c.device == id_or_name, devices.c.name == id_or_name))
    rows = [Device(*row) for row in tx.execute(found)]
    return next((row for row in rows if row.device == id_or_name), rows[0] if rows else None)


def of_org(tx: Connection, org: str) -> Sequence[Device]:
    return [Device(*row) for row in tx.execute(_living(org).order_by(devices.c.name))]


def of_fleet(tx: Connection, org: str, fleet: str) -> Sequence[Device]:
    return [Device(*row) for row in tx.execute(_living(org).where(devices.c.fleet == fleet).order_by(devices.c.name))]


def enrolled_with(tx: Connection, *, enroll_token: str, tls_key: str) -> Device | None:
    """Return the device that this token and key have enrolled before: its first answer may have been lost."""
    found = select(*_COLUMNS).where(
        devices.c.enroll_token == enroll_token, devices.c.tls_key == tls_key, devices.c.deleted_ms.is_(None)
    )
    return _device(tx.execute(found).first())


def end(tx: Connection, device: str, *, now_ms: int) -> None:
    """Make a tombstone of it."""
    tx.execute(update(devices).where(devices.c.device == device).values(deleted_ms=now_ms))


def put_keys(tx: Connection, device: Device) -> None:
    """Give a device other keys: another machine takes its place."""
    names = ("key_number", "identity_key", "tls_key", "certificate", "trust", "enroll_token", "enrolled_ms")
    values = {name: getattr(device, name) for name in names}
    tx.execute(update(devices).where(devices.c.device == device.device).values(**values))


def retire(tx: Connection, device: str, wipe: str | None) -> None:
    """Say what the device shall wipe before it is revoked; None takes that back."""
    tx.execute(update(devices).where(devices.c.device == device).values(retire=wipe))


def retiring(tx: Connection, names: Sequence[str]) -> dict[str, str]:
    """Return what those of these devices that are to go shall wipe."""
    found = select(devices.c.device, devices.c.retire).where(devices.c.device.in_(names), devices.c.retire.is_not(None))
    return {row[0]: row[1] for row in tx.execute(found)}


def name_taken(tx: Connection, org: str, name: str) -> bool:
    return tx.execute(_living(org).where(devices.c.name == name)).first() is not None


def shards(tx: Connection) -> Sequence[int]:
    """Return the shards that have devices."""
    found = select(devices.c.shard).where(devices.c.deleted_ms.is_(None)).distinct().order_by(devices.c.shard)
    return [int(row[0]) for row in tx.execute(found)]


def count(tx: Connection) -> int:
    return int(tx.execute(select(func.count()).select_from(devices).where(devices.c.deleted_ms.is_(None))).scalar_one())


def all_trust(tx: Connection) -> Iterator[tuple[DeviceRef, bytes]]:
    """Return every device's sealed trust document."""
    found = select(devices.c.org, devices.c.device, devices.c.trust).where(devices.c.deleted_ms.is_(None))
    for org, device, trust in tx.execute(found):
        yield DeviceRef(org, device), trust


def names(tx: Connection, org: str) -> dict[str, str]:
    """Return the name of each device of the organisation, deleted ones too."""
    return {row[0]: row[1] for row in tx.execute(select(devices.c.device, devices.c.name).where(devices.c.org == org))}


def fleet_names(tx: Connection, org: str) -> dict[str, str]:
    return {row[0]: row[1] for row in tx.execute(select(fleets.c.fleet, fleets.c.name).where(fleets.c.org == org))}


def _living(org: str) -> Select[*tuple[Any, ...]]:
    return select(*_COLUMNS).where(devices.c.org == org, devices.c.deleted_ms.is_(None))


def _device(row: Sequence[Any] | None) -> Device | None:
    return None if row is None else Device(*row)
