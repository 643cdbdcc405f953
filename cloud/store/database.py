"""The database connection: SQLite or PostgreSQL as we use them, and transactions that either write or read.

A writer takes the write lock at its start, so it never fails half-way for another writer. On SQLite that is the
database's own, on PostgreSQL the lock on the row of `meta`, which each writer changes first. Either is given to who
happens to ask at the right moment, so writers of this process queue for it: in turn, and none is passed over. Each
writing transaction counts `meta.counter` up: a database that was put back from a copy is recognised by a counter that
went back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url, update
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry

from broker.errors import Passing, Refused
from cloud.store.schema import meta
from cloud.store.turns import Turns

__all__ = ["Connection", "Database"]

BUSY_TIMEOUT_S = 15.0  # a writer waits for the group commit before it, never for a person
POOL_SIZE = 24  # with as much again in a rush: more than the API has threads


class Database:
    """One database, by its file or its URL. `counter` is the last committed count of writes, for the file outside."""

    def __init__(self, address: Path | str) -> None:
        self.counter = 0
        self._turns = Turns()
        self._engine = _sqlite(address) if isinstance(address, Path) else _postgresql(address)

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
        except (IntegrityError, DataError):
            raise  # a broken rule of the schema is a bug of ours
        except DBAPIError as error:
            raise Passing(f"the database cannot be used: {error.orig}") from error
        except PoolTimeout as error:
            raise Passing("the database is busy") from error


def _sqlite(path: Path) -> Engine:
    engine = create_engine(
        f"sqlite:///{path}",
        pool_size=POOL_SIZE,
        max_overflow=POOL_SIZE,
        connect_args={"timeout": BUSY_TIMEOUT_S, "isolation_level": None},
    )
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _postgresql(url: str) -> Engine:
    checked_url(url)
    engine = create_engine(
        make_url(url).set(drivername="postgresql+psycopg"),
        pool_size=POOL_SIZE,
        max_overflow=POOL_SIZE,
        pool_pre_ping=True,  # a server that was started anew has forgotten the connections of before
        connect_args={
            "connect_timeout": int(BUSY_TIMEOUT_S),
            "options": f"-c lock_timeout={int(BUSY_TIMEOUT_S * 1000)} -c timezone=UTC",
        },
    )
    event.listen(engine, "begin", _begin_on_postgresql)
    return engine


def checked_url(url: str) -> str:
    """Return the URL of a database; raise `Refused` (`bad_database`) where it is none that we can use."""
    try:
        known = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise Refused("bad_database", "that is no URL: postgresql://user@host:port/name is one") from error
    if known.drivername not in ("postgresql", "postgresql+psycopg") or not known.database:
        raise Refused("bad_database", f"{known.drivername}: only postgresql://user@host:port/name can be used")
    return url


def _begin_on_postgresql(connection: Connection) -> None:
    """Have a reader see one state, and a writer the newest at each statement: it holds the lock on `meta` by then."""
    if not connection.get_execution_options().get("skerry_write", False):
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")


def _prepare(connection: Any, _entry: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("skerry_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
