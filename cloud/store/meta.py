"""The database's own row: which incarnation it is, how many writes it has seen, and the era."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from cloud.store import schema


@dataclass(frozen=True)
class Meta:
    store: str
    counter: int
    era: int


def create(tx: Connection, *, store: str, era: int) -> None:
    tx.execute(insert(schema.meta).values(id=1, store=store, counter=1, era=era))


def get(tx: Connection) -> Meta | None:
    row = tx.execute(select(schema.meta.c.store, schema.meta.c.counter, schema.meta.c.era)).first()
    return None if row is None else Meta(*row)


def renew(tx: Connection, *, store: str, counter: int) -> None:
    """Begin a new incarnation, with a counter above any that was seen before."""
    tx.execute(update(schema.meta).values(store=store, counter=counter))
