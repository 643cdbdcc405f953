"""Makes a cloud's state folder: keys, authorities, database, the first organisation and user."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from broker.errors import Refused
from broker.files import write_durably
from broker.ids import checked_name
from broker.tls import ca_hash
from cloud import founding, incarnation, keys, pki
from cloud.config import Folder, database_of
from cloud.passwords import Passwords
from cloud.store import audit, meta
from cloud.store.database import Database, checked_url
from cloud.store.migrate import migrate


@dataclass(frozen=True)
class Made:
    """What `init` found or made; `org` is empty when everything was there."""

    created: bool
    ca_hash: str
    org: str = ""


def init(folder: Folder, *, org: str, user: str, password: str, now_ms: int, database_url: str = "") -> Made:
    """Make what is missing. The database's identity is written last, so that a broken-off call can be repeated."""
    if database_url:
        checked_url(database_url)
        if folder.database.exists():
            raise Refused("other_database", f"{folder.root} has its database in a file already: choose another folder")
    checked_name(org, "organisation")
    checked_name(user, "user")
    hashed = Passwords().hash(password)
    folder.make()
    if database_url:
        write_durably(folder.database_url, f"{database_url}\n".encode())  # it may hold a password: ours alone
    keys.make(folder.keys)
    pki.make(folder.pki, now=dt.datetime.now(dt.UTC))
    found = ca_hash(pki.Pki(folder.pki).servers.pem)
    database = Database(database_of(folder))
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
    return (folder.database.exists() or folder.database_url.exists()) and folder.incarnation.exists()
