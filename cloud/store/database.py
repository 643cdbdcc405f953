"""The database connection: SQLite as we run it, and transactions that either write or read.

A writer takes the write lock at its start, so it never fails half-way for another writer. SQLite gives that lock to
who happens to ask at the right moment, so writers of this process queue for it: in turn, and none is passed over. Each
writing transaction counts `meta.counter` up: a database that was put back from a copy is recognised by a counter that
went back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, update
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry

from broker.errors import Passing
from cloud.store.schema import meta
from cloud.store.turns import Turns

__all__ = ["Connection", "Database"]

BUSY_TIMEOUT_S = 15.0  # a writer waits for the group commit before it, never for a person
POOL_SIZE = 24  # with as much again in a rush: more than the API has threads


class Database:
    """One database. `counter` is the last committed count of writes, for the file outside of it."""

    def __init__(self, path: Path) -> None:
        self.counter = 0
        self._turns = Turns()
        self._engine = create_engine(
            f"sqlite:///{path}",
            pool_size=POOL_SIZE,
            max_overflow=POOL_SIZE,
            connect_args={"timeout": BUSY_TIMEOUT_S, "isolation_level": None},
        )
        event.listen(self._engine, "connect", _prepare)
        event.listen(self._engine, "begin", _begin)

    @property
    def engine(self) -> Engine:
        """Return the engine, for migrations only."""
        return self._engine

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Give a transaction that holds the write lock; commit it at the end, durably, or undo it on any exception."""
        with self._translated(), self._turns.mine(BUSY_TIMEOUT_S), self._engine.connect() as plain:
            tx = plain.execution_options(skerry_write=True)
            with tx.begin():
                counted = tx.execute(update(meta).values(counter=meta.c.counter + 1).returning(meta.c.counter))
                counter = counted.scalar()
                yield tx
            if counter is not None:
                self.counter = max(self.counter, int(counter))

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a transaction that sees one state of the database."""
        with self._translated(), self._engine.connect() as tx, tx.begin():
            yield tx

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError:
            raise  # a broken rule of the schema is a bug of ours
        except DBAPIError as error:
            raise Passing(f"the database cannot be used: {error.orig}") from error
        except PoolTimeout as error:
            raise Passing("the database is busy") from error


def _prepare(connection: Any, _entry: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("skerry_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
