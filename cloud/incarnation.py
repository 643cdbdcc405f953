"""Which incarnation of the database this is: notices when an older copy was put back, and then renews its name.

Beside the database lies a file with the incarnation and a count of writes that the database had at least reached. A
database that counts less is an older copy: what it acknowledged later is lost, and devices must know by a new name.
"""

from __future__ import annotations

import json
import logging
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from broker.errors import Refused
from broker.files import write_durably
from cloud.store import meta
from cloud.store.database import Database

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Mark:
    """What the file says."""

    store: str
    counter: int


def new_store() -> str:
    """Return a fresh name for an incarnation."""
    return "s-" + secrets.token_hex(8)


def is_older(known: meta.Meta, mark: Mark | None) -> bool:
    """Return whether the database is an older copy than the one the mark was written for, or cannot be told apart."""
    return mark is None or known.store != mark.store or known.counter < mark.counter


def settle(database: Database, path: Path) -> str:
    """Return the incarnation's name, renewed when the database is an older copy. Call at each start."""
    mark = read(path)
    with database.read() as tx:
        known = meta.get(tx)
    if known is None:
        raise Refused("not_initialised", "the database has no identity: run `skerry-cloud init` first")
    if not is_older(known, mark):
        keep(database, path, known.store)
        return known.store
    log.warning("this database is an older copy of the one that served before: it gets a new store id")
    return renew(database, path)


def renew(database: Database, path: Path) -> str:
    """Give the database a new name, durably, and return it."""
    mark, store = read(path), new_store()
    with database.write() as tx:
        known = meta.get(tx)
        assert known is not None
        meta.renew(tx, store=store, counter=max(known.counter, mark.counter if mark else 0) + 1)
    keep(database, path, store)
    return store


def keep(database: Database, path: Path, store: str) -> None:
    """Write down how far the database has come. The file may be behind the database, never ahead of it."""
    with database.read() as tx:
        known = meta.get(tx)
    assert known is not None
    write_durably(path, json.dumps(asdict(Mark(store, known.counter))).encode())


def read(path: Path) -> Mark | None:
    try:
        return Mark(**json.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        log.error("%s is damaged; taking the database for an older copy", path)
        return None
