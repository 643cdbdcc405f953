"""Organisations."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, insert, select, update

from cloud.store.schema import orgs


@dataclass(frozen=True)
class Org:
    org: str
    name: str
    system: bool
    keep_days: int | None = None  # of what devices send; None for ever


def add(tx: Connection, org: Org, *, now_ms: int) -> None:
    tx.execute(insert(orgs).values(org=org.org, name=org.name, system=org.system, created_ms=now_ms))


def get(tx: Connection, org: str) -> Org | None:
    return _first(tx, orgs.c.org == org)


def keep(tx: Connection, org: str, *, days: int | None) -> None:
    """Have an organisation keep what devices send for so many days, or for ever."""
    tx.execute(update(orgs).where(orgs.c.org == org).values(keep_days=days))


def named(tx: Connection, name: str) -> Org | None:
    return _first(tx, orgs.c.name == name)


def _first(tx: Connection, condition: ColumnElement[bool]) -> Org | None:
    found = select(orgs.c.org, orgs.c.name, orgs.c.system, orgs.c.keep_days).where(
        condition, orgs.c.deleted_ms.is_(None)
    )
    row = tx.execute(found).first()
    return None if row is None else Org(*row)
