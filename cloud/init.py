"""Makes a cloud's state folder: keys, authorities, database, the first organisation and user."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from broker.ids import checked_name
from broker.tls import ca_hash
from cloud import founding, incarnation, keys, pki
from cloud.config import Folder
from cloud.passwords import Passwords
from cloud.store import audit, meta
from cloud.store.database import Database
from cloud.store.migrate import migrate


@dataclass(frozen=True)
class Made:
    """What `init` found or made; `org` is empty when everything was there."""

    created: bool
    ca_hash: str
    org: str = ""


def init(folder: Folder, *, org: str, user: str, password: str, now_ms: int) -> Made:
    """Make what is missing. The database's identity is written last, so that a broken-off call can be repeated."""
    checked_name(org, "organisation")
    checked_name(user, "user")
    hashed = Passwords().hash(password)
    folder.make()
    keys.make(folder.keys)
    pki.make(folder.pki, now=dt.datetime.now(dt.UTC))
    found = ca_hash(pki.Pki(folder.pki).servers.pem)
    database = Database(folder.database)
    try:
        migrate(database)
        with database.write() as tx:
            if meta.get(tx) is not None:
                return Made(created=False, ca_hash=found)
            store = incarnation.new_store()
            meta.create(tx, store=store, era=keys.ERA)
            first = founding.found(tx, name=org, user=user, password=hashed, system=True, now_ms=now_ms)
            audit.add(tx, org=first.org, by=user, action="init", subject=first.org, now_ms=now_ms)
        incarnation.keep(database, folder.incarnation, store)
        return Made(created=True, ca_hash=found, org=first.org)
    finally:
        database.close()


def exists(folder: Folder) -> bool:
    """Return whether `init` was run here."""
    return folder.database.exists() and folder.incarnation.exists()
