"""Secrets of apps: every version as it was set, sealed to the vault, and what was sealed of it to each device.

A version is a number within (app, name), also over fleets, and is never used again. An erased one keeps its row.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, delete, func, insert, or_, select, update

from cloud.store.schema import devices, seals, secrets


@dataclass(frozen=True)
class Value:
    """One version. `fleet` is None where it is for all fleets that have none of their own.

    A `pinned` one is only for releases that name it.
    """

    app: str
    name: str
    version: int
    fleet: str | None
    pinned: bool
    sealed: bytes
    created_ms: int
    by: str


@dataclass(frozen=True)
class Seal:
    """A value sealed to a device, under the number of the device's keys."""

    device: str
    app: str
    name: str
    version: int
    key_number: int
    sealed: bytes


_COLUMNS = tuple(secrets.c[name] for name in Value.__dataclass_fields__)
_SEAL_COLUMNS = tuple(seals.c[name] for name in Seal.__dataclass_fields__)
_THERE = secrets.c.sealed != b""


def next_version(tx: Connection, app: str, name: str) -> int:
    highest = select(func.max(secrets.c.version)).where(secrets.c.app == app, secrets.c.name == name)
    return 1 + (tx.execute(highest).scalar_one() or 0)


def add(tx: Connection, value: Value) -> None:
    tx.execute(insert(secrets).values(**asdict(value)))


def newest(tx: Connection, app: str, name: str, *, fleet: str | None, pinned: bool = False) -> Value | None:
    """Return the newest that was set for just this fleet, or for all, or of those that releases name."""
    of_it = (secrets.c.name == name, secrets.c.fleet == fleet, secrets.c.pinned == pinned)
    return next(iter(_found(tx, app, *of_it)), None)


def version(tx: Connection, app: str, name: str, number: int) -> Value | None:
    return next(iter(_found(tx, app, secrets.c.name == name, secrets.c.version == number)), None)


def holding(tx: Connection, app: str, *, fleet: str) -> dict[str, int]:
    """Return by name which version holds in a fleet: the newest of its own, or else the newest for all."""
    of_it = or_(secrets.c.fleet == fleet, secrets.c.fleet.is_(None))
    rows = _found(tx, app, of_it, secrets.c.pinned.is_(False))
    own = {row.name: row.version for row in reversed(rows) if row.fleet is not None}
    return {row.name: row.version for row in reversed(rows) if row.fleet is None} | own


def versions(tx: Connection, app: str) -> set[tuple[str, int]]:
    """Return the versions of an app's secrets that are there."""
    found = select(secrets.c.name, secrets.c.version).where(secrets.c.app == app, _THERE)
    return {(row[0], row[1]) for row in tx.execute(found)}


def of_app(tx: Connection, app: str) -> Sequence[Value]:
    """Return what is there, the newest first."""
    return _found(tx, app)


def erase(tx: Connection, app: str, name: str, *, fleet: str | None) -> int:
    """Erase all versions for just this fleet, or for all; return how many there were."""
    of_it = (secrets.c.app == app, secrets.c.name == name, secrets.c.fleet == fleet, _THERE)
    return tx.execute(update(secrets).where(*of_it).values(sealed=b"")).rowcount


def seals_of(tx: Connection, names: Iterable[str]) -> dict[tuple[str, str, str], Seal]:
    """Return what is sealed to these devices, by device, app and name."""
    found = select(*_SEAL_COLUMNS).where(seals.c.device.in_(list(names)))
    rows = [Seal(*row) for row in tx.execute(found)]
    return {(row.device, row.app, row.name): row for row in rows}


def keys_of(tx: Connection, names: Iterable[str]) -> dict[str, tuple[int, bytes]]:
    """Return the number of each device's keys, and the public key that is sealed to."""
    found = select(devices.c.device, devices.c.key_number, devices.c.identity_key)
    return {row[0]: (row[1], row[2]) for row in tx.execute(found.where(devices.c.device.in_(list(names))))}


def put_seals(tx: Connection, rows: Sequence[Seal]) -> None:
    """Store what was sealed, each in place of what its device had of the same secret."""
    for row in rows:
        tx.execute(delete(seals).where(seals.c.device == row.device, seals.c.app == row.app, seals.c.name == row.name))
    if rows:
        tx.execute(insert(seals), [asdict(row) for row in rows])


def drop_seals(tx: Connection, device: str) -> None:
    """Forget what was sealed to a device that is gone."""
    tx.execute(delete(seals).where(seals.c.device == device))


def _found(tx: Connection, app: str, *conditions: object) -> Sequence[Value]:
    found = select(*_COLUMNS).where(secrets.c.app == app, _THERE, *conditions)  # type: ignore[arg-type]
    return [Value(*row) for row in tx.execute(found.order_by(secrets.c.version.desc()))]
