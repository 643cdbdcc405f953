"""App instances: which release of an app runs in a fleet, with which variables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, insert, select, update

from cloud.store.rows import Instance
from cloud.store.schema import instances

_COLUMNS = tuple(instances.c[name] for name in Instance.__dataclass_fields__)


def put(tx: Connection, instance: Instance, *, now_ms: int) -> None:
    """Add the instance, or change the one with its id."""
    changing = {
        "release": instance.release,
        "variables": json.dumps(dict(instance.variables), sort_keys=True),
        "attempt": instance.attempt,
        "settings": json.dumps(dict(instance.settings), sort_keys=True),
        "grants": json.dumps(dict(instance.grants), sort_keys=True),
        "changed_ms": now_ms,
    }
    changed = tx.execute(update(instances).where(instances.c.instance == instance.instance).values(**changing))
    if changed.rowcount == 0:
        fixed = {"instance": instance.instance, "org": instance.org, "app": instance.app, "fleet": instance.fleet}
        tx.execute(insert(instances).values(**fixed, **changing, created_ms=now_ms))


def find(tx: Connection, app: str, fleet: str) -> Instance | None:
    return next(iter(_living(tx, instances.c.app == app, instances.c.fleet == fleet)), None)


def of_fleet(tx: Connection, fleet: str) -> Sequence[Instance]:
    return _living(tx, instances.c.fleet == fleet)


def of_app(tx: Connection, app: str) -> Sequence[Instance]:
    return _living(tx, instances.c.app == app)


def apps_by_instance(tx: Connection, org: str) -> dict[str, str]:
    """Return the app of each instance of the organisation, deleted ones too."""
    found = select(instances.c.instance, instances.c.app).where(instances.c.org == org)
    return {row[0]: row[1] for row in tx.execute(found)}


def delete(tx: Connection, instance: str, *, now_ms: int) -> None:
    tx.execute(update(instances).where(instances.c.instance == instance).values(deleted_ms=now_ms))


def _living(tx: Connection, *conditions: ColumnElement[bool]) -> Sequence[Instance]:
    found = select(*_COLUMNS).where(instances.c.deleted_ms.is_(None), *conditions)
    rows = tx.execute(found.order_by(instances.c.instance))
    return [_instance(row) for row in rows]


def _instance(row: Sequence[Any]) -> Instance:
    values = [*row[:5], json.loads(row[5]), row[6], json.loads(row[7]), json.loads(row[8])]
    return Instance(*values)
