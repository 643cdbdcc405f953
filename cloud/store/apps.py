"""Apps: names under which releases are pushed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from cloud.store.schema import apps


@dataclass(frozen=True)
class App:
    app: str
    org: str
    name: str

    @property
    def namespace(self) -> str:
        """Return the prefix of the app's repositories in the registry."""
        return f"{self.org}/{self.app}"


def add(tx: Connection, app: App, *, now_ms: int) -> None:
    tx.execute(insert(apps).values(app=app.app, org=app.org, name=app.name, created_ms=now_ms))


def named(tx: Connection, org: str, name: str) -> App | None:
    found = select(apps.c.app, apps.c.org, apps.c.name).where(
        apps.c.org == org, apps.c.name == name, apps.c.deleted_ms.is_(None)
    )
    row = tx.execute(found).first()
    return None if row is None else App(*row)


def of_org(tx: Connection, org: str) -> Sequence[App]:
    found = select(apps.c.app, apps.c.org, apps.c.name).where(apps.c.org == org, apps.c.deleted_ms.is_(None))
    return [App(*row) for row in tx.execute(found.order_by(apps.c.name))]


def all_ids(tx: Connection) -> Sequence[str]:
    """Return every app of every organisation, deleted ones too."""
    return [row[0] for row in tx.execute(select(apps.c.app))]


def exists(tx: Connection, app: str) -> bool:
    """Return whether an app is there and not deleted."""
    return tx.execute(select(apps.c.app).where(apps.c.app == app, apps.c.deleted_ms.is_(None))).first() is not None


def names(tx: Connection, org: str) -> dict[str, str]:
    """Return the name of each app of the organisation, deleted ones too."""
    return {row[0]: row[1] for row in tx.execute(select(apps.c.app, apps.c.name).where(apps.c.org == org))}


def delete(tx: Connection, app: str, *, now_ms: int) -> None:
    tx.execute(update(apps).where(apps.c.app == app).values(deleted_ms=now_ms))
