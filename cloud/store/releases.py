"""Releases: an AppSpec under its digest, for ever the same. The version is a label for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, insert, select, update

from cloud.store.schema import releases

LATEST = "latest"


@dataclass(frozen=True)
class Release:
    app: str
    digest: str
    version: str
    spec: bytes
    created_ms: int
    pushed_ms: int
    by: str


_COLUMNS = tuple(releases.c[name] for name in Release.__dataclass_fields__)
_NEWEST_FIRST = (releases.c.pushed_ms.desc(), releases.c.digest)


def push(tx: Connection, release: Release) -> bool:
    """Store the release; return False when its digest was there: then only its label and place in time change.

    A release without a version is labelled with the beginning of its digest.
    """
    known = get(tx, release.app, release.digest)
    if known is None:
        label = release.version or release.digest.removeprefix("sha256:")[:12]
        tx.execute(insert(releases).values(**asdict(release) | {"version": label}))
        return True
    again = update(releases).where(releases.c.app == release.app, releases.c.digest == release.digest)
    tx.execute(again.values(version=release.version or known.version, pushed_ms=release.pushed_ms))
    return False


def get(tx: Connection, app: str, digest: str) -> Release | None:
    row = tx.execute(select(*_COLUMNS).where(releases.c.app == app, releases.c.digest == digest)).first()
    return None if row is None else Release(*row)


def find(tx: Connection, app: str, name: str) -> Release | None:
    """Return a release by digest, by version (the newest that has it), or the newest of all for `latest`."""
    exact = get(tx, app, name)
    if exact is not None:
        return exact
    found = select(*_COLUMNS).where(releases.c.app == app).order_by(*_NEWEST_FIRST).limit(1)
    if name != LATEST:
        found = found.where(releases.c.version == name)
    row = tx.execute(found).first()
    return None if row is None else Release(*row)


def of_app(tx: Connection, app: str) -> Sequence[Release]:
    """Return the app's releases, the newest first."""
    found = select(*_COLUMNS).where(releases.c.app == app).order_by(*_NEWEST_FIRST)
    return [Release(*row) for row in tx.execute(found)]
