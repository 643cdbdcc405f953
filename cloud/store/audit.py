"""Who changed what, for ever."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select

from cloud.store.schema import audit


@dataclass(frozen=True)
class Change:
    """One row. Numbers rise, over all organisations."""

    id: int
    at_ms: int
    by: str
    action: str
    subject: str
    detail: str


_COLUMNS = tuple(audit.c[name] for name in Change.__dataclass_fields__)


def newest(tx: Connection, org: str, *, limit: int, before: int | None = None) -> Sequence[Change]:
    """Return an organisation's newest changes, the newest first; those before the one with a number."""
    found = select(*_COLUMNS).where(audit.c.org == org)
    if before is not None:
        found = found.where(audit.c.id < before)
    return [Change(*row) for row in tx.execute(found.order_by(audit.c.id.desc()).limit(limit))]


def add(tx: Connection, *, org: str, by: str, action: str, subject: str, now_ms: int, detail: str = "") -> None:
    """Write a row in the transaction of the change itself, so that neither exists without the other."""
    row = {"org": org, "by": by, "action": action, "subject": subject, "detail": detail}
    tx.execute(insert(audit).values(at_ms=now_ms, **row))
