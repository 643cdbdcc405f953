"""Desired states as sent: the envelope's bytes, made once, under (device, era, generation)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import ColumnElement, Connection, bindparam, delete, exists, func, insert, select, tuple_, update

from broker.ids import DeviceRef
from broker.messages import Generation
from cloud.store.schema import desired, devices, presence

KEPT = 16  # per device, for people who ask what was sent; only the newest is ever sent again


@dataclass(frozen=True)
class Desired:
    """`digest` is over the payload; `content` over what it asks for, generation and time left out."""

    device: str
    era: int
    generation: int
    digest: str
    content: str
    envelope: bytes
    issued_ms: int
    store: str
    sent_ms: int | None = None

    @property
    def named(self) -> Generation:
        return Generation(era=self.era, generation=self.generation, digest=self.digest)


@dataclass(frozen=True)
class Issued:
    """Which desired state a device has, and what it asks for."""

    device: str
    era: int
    generation: int
    content: str


@dataclass(frozen=True)
class Due:
    """An envelope to publish."""

    ref: DeviceRef
    era: int
    generation: int
    envelope: bytes


_COLUMNS = tuple(desired.c[name] for name in Desired.__dataclass_fields__)
_newer = desired.alias("newer")
_NEWEST = ~exists().where(
    _newer.c.device == desired.c.device,
    tuple_(_newer.c.era, _newer.c.generation) > tuple_(desired.c.era, desired.c.generation),
)


def add(tx: Connection, row: Desired) -> None:
    tx.execute(insert(desired).values(**asdict(row)))
    kept = select(desired.c.era, desired.c.generation).where(desired.c.device == row.device)
    kept = kept.order_by(desired.c.era.desc(), desired.c.generation.desc()).limit(1).offset(KEPT)
    edge = tx.execute(kept).first()
    if edge is not None:
        older = tuple_(desired.c.era, desired.c.generation) <= tuple_(edge.era, edge.generation)
        tx.execute(delete(desired).where(desired.c.device == row.device, older))


def add_all(tx: Connection, rows: Sequence[Desired]) -> None:
    """Add one row for each of many devices."""
    if not rows:
        return
    tx.execute(insert(desired), [asdict(row) for row in rows])
    order, newer_order = tuple_(desired.c.era, desired.c.generation), tuple_(_newer.c.era, _newer.c.generation)
    above = select(func.count()).where(_newer.c.device == desired.c.device, newer_order > order).scalar_subquery()
    tx.execute(delete(desired).where(desired.c.device.in_([row.device for row in rows]), above >= KEPT))


def newest_of(tx: Connection, devices: Sequence[str]) -> dict[str, Issued]:
    """Return the newest of each of these devices, without its bytes."""
    columns = (desired.c.device, desired.c.era, desired.c.generation, desired.c.content)
    found = select(*columns).where(desired.c.device.in_(devices), _NEWEST)
    return {row[0]: Issued(*row) for row in tx.execute(found)}


def newest(tx: Connection, device: str) -> Desired | None:
    found = select(*_COLUMNS).where(desired.c.device == device)
    row = tx.execute(found.order_by(desired.c.era.desc(), desired.c.generation.desc()).limit(1)).first()
    return None if row is None else Desired(*row)


def named_of(tx: Connection, devices: Sequence[str]) -> dict[str, Generation]:
    """Return the newest of each of these devices by name."""
    columns = (desired.c.device, desired.c.era, desired.c.generation, desired.c.digest)
    found = tx.execute(select(*columns).where(desired.c.device.in_(devices), _NEWEST))
    return {row[0]: Generation(era=row[1], generation=row[2], digest=row[3]) for row in found}


def named(tx: Connection, device: str) -> tuple[Generation, bool] | None:
    """Return the newest without its bytes, and whether it was sent."""
    columns = (desired.c.era, desired.c.generation, desired.c.digest, desired.c.sent_ms)
    found = select(*columns).where(desired.c.device == device)
    row = tx.execute(found.order_by(desired.c.era.desc(), desired.c.generation.desc()).limit(1)).first()
    if row is None:
        return None
    return Generation(era=row[0], generation=row[1], digest=row[2]), row[3] is not None


def unsent(tx: Connection, limit: int) -> Sequence[Due]:
    """Return newest states that were never sent, of devices that may get any."""
    return _due(tx, limit, desired.c.sent_ms.is_(None))


def after(tx: Connection, device: str, limit: int) -> Sequence[Due]:
    """Return the newest state of each device whose id is greater, in the order of ids: pages over all devices."""
    return _due(tx, limit, desired.c.device > device)


def of_device(tx: Connection, device: str) -> Due | None:
    return next(iter(_due(tx, 1, desired.c.device == device)), None)


def mark_sent(tx: Connection, sent: Iterable[Due], *, now_ms: int) -> None:
    rows = [{"d": due.ref.device, "e": due.era, "g": due.generation} for due in sent]
    if rows:
        marked = update(desired).where(
            desired.c.device == bindparam("d"), desired.c.era == bindparam("e"), desired.c.generation == bindparam("g")
        )
        tx.execute(marked.values(sent_ms=now_ms), rows)


def _due(tx: Connection, limit: int, *conditions: ColumnElement[bool]) -> Sequence[Due]:
    """A contested device gets nothing: two machines would fight over it."""
    found = (
        select(devices.c.org, desired.c.device, desired.c.era, desired.c.generation, desired.c.envelope)
        .join(devices, devices.c.device == desired.c.device)
        .outerjoin(presence, presence.c.device == desired.c.device)
        .where(devices.c.deleted_ms.is_(None), presence.c.contested.is_not(True), _NEWEST, *conditions)
        .order_by(desired.c.device)
        .limit(limit)
    )
    return [Due(DeviceRef(row[0], row[1]), row[2], row[3], row[4]) for row in tx.execute(found)]
