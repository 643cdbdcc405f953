"""Certificates that are revoked, for ever, and which of their sessions may still have to be ended."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from broker.ids import DeviceRef
from cloud.store.schema import devices, revocations


@dataclass(frozen=True)
class Unsettled:
    """A revocation whose device may still have a session. `is_gone`: the device itself is, not only its certificate."""

    serial: int
    ref: DeviceRef
    revoked_ms: int
    is_gone: bool


def add(tx: Connection, serial: int, device: str, *, now_ms: int) -> None:
    row = {"serial": str(serial), "device": device, "revoked_ms": now_ms, "settled": False}
    tx.execute(insert(revocations).values(**row))


def serials(tx: Connection) -> frozenset[int]:
    return frozenset(int(row[0]) for row in tx.execute(select(revocations.c.serial)))


def unsettled(tx: Connection) -> Sequence[Unsettled]:
    found = (
        select(revocations.c.serial, devices.c.org, devices.c.device, revocations.c.revoked_ms, devices.c.deleted_ms)
        .join(devices, devices.c.device == revocations.c.device)
        .where(revocations.c.settled.is_(False))
        .order_by(revocations.c.revoked_ms)
    )
    return [Unsettled(int(row[0]), DeviceRef(row[1], row[2]), row[3], row[4] is not None) for row in tx.execute(found)]


def settle(tx: Connection, settled: Iterable[int]) -> None:
    names = [str(serial) for serial in settled]
    tx.execute(update(revocations).where(revocations.c.serial.in_(names)).values(settled=True))
