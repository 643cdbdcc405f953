"""How an organisation begins: with its first user and the fleet `default`."""

from __future__ import annotations

from broker.errors import Refused
from broker.ids import new_id
from cloud import scopes
from cloud.store import fleets, orgs, users
from cloud.store.database import Connection
from cloud.store.fleets import Fleet
from cloud.store.orgs import Org
from cloud.store.users import User


def found(tx: Connection, *, name: str, user: str, password: str, system: bool, now_ms: int) -> Org:
    """Return the new organisation; raise `Refused` (`name_taken`). `password` is a hash."""
    if orgs.named(tx, name) is not None:
        raise Refused("name_taken", f"there is an organisation {name!r}")
    if users.named(tx, user) is not None:
        raise Refused("name_taken", f"there is a user {user!r}")
    org = Org(new_id("o"), name, system)
    orgs.add(tx, org, now_ms=now_ms)
    users.add(tx, User(new_id("u"), org.org, user, password, " ".join(scopes.ALL)), now_ms=now_ms)
    fleets.add(tx, Fleet(new_id("f"), org.org, fleets.DEFAULT), now_ms=now_ms)
    return org
