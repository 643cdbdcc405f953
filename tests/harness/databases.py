"""Which database a test's cloud uses: the file that it names, or a PostgreSQL database for that file's name."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cloud.store.database import Database
from cloud.store.migrate import migrate
from tests.harness.postgres import Postgres

KINDS = ("sqlite", "postgresql")
TEMPLATE = "made"  # migrated once


class _Chosen:
    """The server that is used now, with the names of databases by the file that each stands for."""

    server: Postgres | None = None
    names: dict[Path, str] = {}
    numbers = itertools.count(1)
    opened: list[Database] = []


def database(path: Path) -> Database:
    """Return the database that a test calls by a file's name; the same again for the same name."""
    opened = Database(_address(path))
    _Chosen.opened.append(opened)
    return opened


def _address(path: Path) -> Path | str:
    server = _Chosen.server
    if server is None:
        return path
    name = _Chosen.names.get(path)
    if name is None:
        name = _Chosen.names[path] = f"t{next(_Chosen.numbers)}"
        server.create(name, template=TEMPLATE)
    return server.url(name)


def save(path: Path) -> None:
    """Make a copy of a database that nobody uses now."""
    server = _Chosen.server
    if server is None:
        path.with_suffix(".copy").write_bytes(path.read_bytes())
    else:
        saved = path.with_suffix(".copy")
        _Chosen.names[saved] = f"{_Chosen.names[path]}_copy"
        server.create(_Chosen.names[saved], template=_Chosen.names[path])


def put_back(path: Path) -> None:
    """Put the copy in the database's place."""
    server = _Chosen.server
    if server is None:
        path.write_bytes(path.with_suffix(".copy").read_bytes())
    else:
        server.drop(_Chosen.names[path])
        server.create(_Chosen.names[path], template=_Chosen.names[path.with_suffix(".copy")])


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Start a server with a database that has the newest schema."""
    server = Postgres()
    try:
        database = Database(server.create(TEMPLATE))
        migrate(database)
        database.close()
        yield server
    finally:
        server.stop()


@contextmanager
def used(server: Postgres | None) -> Iterator[None]:
    """Have clouds keep everything in this server; in files without one."""
    _Chosen.server = server
    try:
        yield
    finally:
        _Chosen.server = None
        while _Chosen.opened:
            _Chosen.opened.pop().close()
        for name in _Chosen.names.values():
            assert server is not None
            server.drop(name)
        _Chosen.names.clear()
