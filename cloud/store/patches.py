"""Patches that were made between an app's images, and where they are; also that there was nothing to make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, delete, insert, select

from cloud.store.schema import patches


@dataclass(frozen=True)
class Made:
    """The patches to one image from another; `artifact` is empty where none was worth it. `blobs` by spaces."""

    repository: str
    image: str
    base: str
    app: str
    artifact: str
    blobs: str
    bytes: int
    made_ms: int


_COLUMNS = tuple(patches.c[name] for name in Made.__dataclass_fields__)


def put(tx: Connection, made: Made) -> None:
    forget(tx, made)
    tx.execute(insert(patches).values(**asdict(made)))


def forget(tx: Connection, made: Made) -> None:
    same = (patches.c.repository == made.repository, patches.c.image == made.image, patches.c.base == made.base)
    tx.execute(delete(patches).where(*same))


def of_app(tx: Connection, app: str) -> Sequence[Made]:
    """Return the app's patches, the oldest first."""
    found = select(*_COLUMNS).where(patches.c.app == app).order_by(patches.c.made_ms, patches.c.image, patches.c.base)
    return [Made(*row) for row in tx.execute(found)]
