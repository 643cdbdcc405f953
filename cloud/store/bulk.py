"""Many rows of one table at once, by a statement whose text is made once: for what is written all the time."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Dialect, Table


def add(tx: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add rows, each with the same columns in the same order."""
    if rows:
        tx.exec_driver_sql(_insert(tx.dialect, table, tuple(rows[0])), [tuple(row.values()) for row in rows])


def put(tx: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add rows, each with the same columns in the same order, or change those that have the same primary key."""
    if not rows:
        return
    names = tuple(rows[0])
    keys = tuple(column.name for column in table.primary_key)
    quote = tx.dialect.identifier_preparer.quote
    changed = ", ".join(f"{quote(name)} = excluded.{quote(name)}" for name in names if name not in keys)
    conflict = f" ON CONFLICT ({', '.join(map(quote, keys))}) DO UPDATE SET {changed}"
    tx.exec_driver_sql(_insert(tx.dialect, table, names) + conflict, [tuple(row.values()) for row in rows])


@functools.lru_cache(256)
def _insert(dialect: Dialect, table: Table, names: tuple[str, ...]) -> str:
    quote = dialect.identifier_preparer.quote
    values = ", ".join(["?" if dialect.paramstyle == "qmark" else "%s"] * len(names))
    return f"INSERT INTO {quote(table.name)} ({', '.join(map(quote, names))}) VALUES ({values})"  # noqa: S608 - our schema
