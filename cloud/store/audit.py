"""Who changed what, for ever."""

from __future__ import annotations

from sqlalchemy import Connection, insert

from cloud.store.schema import audit


def add(tx: Connection, *, org: str, by: str, action: str, subject: str, now_ms: int, detail: str = "") -> None:
    """Write a row in the transaction of the change itself, so that neither exists without the other."""
    row = {"org": org, "by": by, "action": action, "subject": subject, "detail": detail}
    tx.execute(insert(audit).values(at_ms=now_ms, **row))
