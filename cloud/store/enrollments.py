"""Machines that ask to become devices, by token and key: what was decided of each, and by whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import ColumnElement, Connection, insert, select, update

from cloud.store.schema import enrollments

PENDING, APPROVED, REJECTED = "pending", "approved", "rejected"


@dataclass(frozen=True)
class Enrollment:
    request: str
    org: str
    fleet: str
    enroll_token: str
    tls_key: str
    identity_key: bytes
    name: str | None
    serial: str
    host: str
    created_ms: int
    state: str
    by: str
    replaces: str | None = None  # the device whose place it takes


_C = enrollments.c
_COLUMNS = tuple(_C[name] for name in Enrollment.__dataclass_fields__)


def add(tx: Connection, row: Enrollment) -> None:
    tx.execute(insert(enrollments).values(**asdict(row)))


def of_key(tx: Connection, *, enroll_token: str, tls_key: str) -> Enrollment | None:
    """Return what was asked with this token under this key."""
    return _first(tx, _C.enroll_token == enroll_token, _C.tls_key == tls_key)


def pending(tx: Connection, org: str) -> Sequence[Enrollment]:
    found = select(*_COLUMNS).where(_C.org == org, _C.state == PENDING).order_by(_C.created_ms, _C.request)
    return [Enrollment(*row) for row in tx.execute(found)]


def get(tx: Connection, org: str, request: str) -> Enrollment | None:
    return _first(tx, _C.org == org, _C.request == request)


def serial_known(tx: Connection, enroll_token: str, serial: str) -> bool:
    """Return whether a machine of this serial number has asked with this token before."""
    return _first(tx, _C.enroll_token == enroll_token, _C.serial == serial) is not None


def decide(tx: Connection, request: str, state: str, *, name: str | None, by: str, replaces: str | None = None) -> None:
    decided = update(enrollments).where(_C.request == request)
    tx.execute(decided.values(state=state, name=name, by=by, replaces=replaces))


def _first(tx: Connection, *conditions: ColumnElement[bool]) -> Enrollment | None:
    row = tx.execute(select(*_COLUMNS).where(*conditions)).first()
    return None if row is None else Enrollment(*row)
