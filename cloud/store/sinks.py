"""Sinks: how far each is in the samples of its organisation, and what was wrong at last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from cloud.store import bulk
from cloud.store.schema import sinks


@dataclass(frozen=True)
class State:
    """`error` is empty while it works; `at_ms` is when either changed."""

    name: str
    cursor: str
    error: str
    at_ms: int


def cursor(tx: Connection, name: str) -> str:
    """Return where a sink goes on; nothing before its first samples."""
    found = tx.execute(select(sinks.c.cursor).where(sinks.c.name == name)).scalar()
    return str(found or "")


def put(tx: Connection, name: str, *, cursor: str, error: str, now_ms: int) -> None:
    bulk.put(tx, sinks, [{"name": name, "cursor": cursor, "error": error, "at_ms": now_ms}])


def states(tx: Connection) -> Sequence[State]:
    found = select(sinks.c.name, sinks.c.cursor, sinks.c.error, sinks.c.at_ms).order_by(sinks.c.name)
    return [State(*row) for row in tx.execute(found)]
