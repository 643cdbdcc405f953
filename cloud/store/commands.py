"""Commands: the outbox for devices. A row is there before anything is sent, and keeps what became of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, func, insert, or_, select, update

from broker.ids import DeviceRef
from broker.messages import Conn
from cloud.store.schema import commands, presence

WAITING = "waiting"  # never sent
SENT = "sent"  # sent at least once; it may have been taken
DONE, FAILED, EXPIRED = "done", "failed", "expired"
OPEN = (WAITING, SENT)


@dataclass(frozen=True)
class Command:
    """A verb for one device. It is begun after `until_ms` only if it arrived before; `request` made it with others."""

    command: str
    request: str
    org: str
    device: str
    verb: str
    args: Mapping[str, Any]
    created_ms: int
    by: str
    until_ms: int
    ttl_s: int
    state: str = WAITING
    tries: int = 0
    sent_ms: int | None = None
    finished_ms: int | None = None
    reason: str = ""
    message: str = ""

    @property
    def ref(self) -> DeviceRef:
        return DeviceRef(self.org, self.device)


@dataclass(frozen=True)
class Sending:
    """One command about to be sent: to which connection, under which number, and when to look again."""

    command: Command
    conn: Conn
    counter: int
    due_ms: int


_C = commands.c
_COLUMNS = tuple(_C[name] for name in Command.__dataclass_fields__)
_OPEN = _C.state.in_(OPEN)
_earlier = commands.alias("earlier")
# What is asked of one app is done in the order in which it was asked; the lock may be lifted in between.
_BLOCKED = exists().where(
    _earlier.c.device == _C.device,
    _earlier.c.instance == _C.instance,
    _earlier.c.number < _C.number,
    _earlier.c.state.in_(OPEN),
    _earlier.c.verb != "app.unlock",
    _C.verb != "app.unlock",
)
_MOVED = or_(_C.conn_boot.is_(None), _C.conn_boot != presence.c.boot, _C.conn_count != presence.c.count)
_REACHABLE = and_(presence.c.online.is_(True), presence.c.contested.is_(False), presence.c.boot.is_not(None))


def add(tx: Connection, rows: Sequence[Command]) -> None:
    if rows:
        tx.execute(insert(commands), [_values(row) for row in rows])


def get(tx: Connection, org: str, command: str) -> Command | None:
    return next(iter(_found(tx, 1, _C.org == org, _C.command == command)), None)


def of_org(
    tx: Connection, org: str, *, device: str | None = None, request: str | None = None, limit: int
) -> Sequence[Command]:
    """Return the newest first."""
    only: list[ColumnElement[bool]] = [_C.org == org]
    if device is not None:
        only.append(_C.device == device)
    if request is not None:
        only.append(_C.request == request)
    return _found(tx, limit, *only)


def open_counts(tx: Connection, org: str) -> dict[str, int]:
    """Return how many commands of each device are open."""
    found = select(_C.device, func.count()).where(_C.org == org, _OPEN).group_by(_C.device)
    return {row[0]: row[1] for row in tx.execute(found)}


def overdue(tx: Connection, *, now_ms: int, limit: int) -> Sequence[Command]:
    """Return commands that were never sent and whose time is over."""
    found = select(*_COLUMNS).where(_C.state == WAITING, _C.until_ms <= now_ms).order_by(_C.number).limit(limit)
    return [_command(row) for row in tx.execute(found)]


def sendable(tx: Connection, *, now_ms: int, limit: int) -> Sequence[tuple[Command, Conn, bool]]:
    """Return what a reachable device should get now, with its connection, and whether it is new to that one."""
    found = (
        select(*_COLUMNS, presence.c.boot, presence.c.count, _MOVED)
        .join(presence, presence.c.device == _C.device)
        .where(or_(_C.state == SENT, and_(_C.state == WAITING, _C.until_ms > now_ms)))
        .where(_REACHABLE, or_(_MOVED, _C.due_ms <= now_ms), ~_BLOCKED)
        .order_by(_C.number)
        .limit(limit)
    )
    return [(_command(row[:-3]), Conn(boot=row[-3], count=row[-2]), bool(row[-1])) for row in tx.execute(found)]


def next_ms(tx: Connection) -> int | None:
    """Return when something is due next without anything else happening; None when nothing ever will be."""
    over = tx.execute(select(func.min(_C.until_ms)).where(_C.state == WAITING)).scalar()
    again = select(func.min(_C.due_ms)).join(presence, presence.c.device == _C.device)
    due = tx.execute(again.where(_OPEN, _REACHABLE, ~_MOVED, ~_BLOCKED)).scalar()
    return min((int(one) for one in (over, due) if one is not None), default=None)


def any_open(tx: Connection) -> bool:
    return tx.execute(select(_C.number).where(_OPEN).limit(1)).first() is not None


def next_counter(tx: Connection, device: str, *, now_ms: int) -> int:
    """Return a number above every earlier one of the device, also when the database comes from a backup."""
    last = tx.execute(select(func.max(_C.counter)).where(_C.device == device)).scalar()
    return max(int(last or 0) + 1, now_ms)


def mark_sent(tx: Connection, sending: Sending, *, tries: int, now_ms: int) -> None:
    tx.execute(
        update(commands)
        .where(_C.command == sending.command.command)
        .values(
            state=SENT,
            conn_boot=sending.conn.boot,
            conn_count=sending.conn.count,
            counter=sending.counter,
            tries=tries,
            sent_ms=now_ms,
            due_ms=sending.due_ms,
        )
    )


def finish(
    tx: Connection, device: str, command: str, *, state: str, reason: str, message: str, now_ms: int
) -> Command | None:
    """End an open command; return it as it is then, None when it is not open or not this device's."""
    ending = update(commands).where(_C.command == command, _C.device == device, _OPEN)
    ended = tx.execute(ending.values(state=state, reason=reason, message=message, finished_ms=now_ms))
    return _found(tx, 1, _C.command == command)[0] if ended.rowcount else None


def forget(tx: Connection, *, created_before_ms: int, device_keeps: int) -> None:
    """Delete old ones, but of each device its newest: the numbers of its commands must go on."""
    newer = commands.alias("newer")
    newest = select(newer.c.number).where(newer.c.device == _C.device).order_by(newer.c.number.desc())
    edge = newest.limit(1).offset(device_keeps - 1).scalar_subquery()
    tx.execute(delete(commands).where(_C.created_ms < created_before_ms, _C.number < edge))


def _found(tx: Connection, limit: int, *conditions: ColumnElement[bool]) -> Sequence[Command]:
    found = select(*_COLUMNS).where(*conditions).order_by(_C.number.desc()).limit(limit)
    return [_command(row) for row in tx.execute(found)]


def _values(row: Command) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in Command.__dataclass_fields__}
    return values | {"args": json.dumps(dict(row.args)), "instance": row.args.get("instance"), "due_ms": 0}


def _command(row: Iterable[Any]) -> Command:
    values = dict(zip(Command.__dataclass_fields__, row, strict=True))
    return Command(**values | {"args": json.loads(values["args"])})
