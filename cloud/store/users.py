"""People who log in. A name belongs to one user of all organisations, because a login names no organisation."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, insert, select

from cloud.store.schema import users


@dataclass(frozen=True)
class User:
    user: str
    org: str
    name: str
    password: str
    scopes: str


def add(tx: Connection, user: User, *, now_ms: int) -> None:
    row = {"user": user.user, "org": user.org, "name": user.name, "password": user.password, "scopes": user.scopes}
    tx.execute(insert(users).values(**row, created_ms=now_ms))


def named(tx: Connection, name: str) -> User | None:
    columns = (users.c.user, users.c.org, users.c.name, users.c.password, users.c.scopes)
    row = tx.execute(select(*columns).where(users.c.name == name, users.c.deleted_ms.is_(None))).first()
    return None if row is None else User(*row)
