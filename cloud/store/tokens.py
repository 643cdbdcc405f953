"""API tokens: only their hashes are here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select

from cloud.store.schema import orgs, tokens, users


@dataclass(frozen=True)
class Token:
    """A token with whom it stands for."""

    hash: str
    user: str
    user_name: str
    org: str
    org_name: str
    system: bool
    scopes: str
    expires_ms: int


@dataclass(frozen=True)
class Issued:
    """A token as lists show it; `token` names it, and tells nothing of the secret."""

    hash: str
    name: str
    scopes: str
    created_ms: int
    expires_ms: int

    @property
    def token(self) -> str:
        return self.hash[:12]


def add(tx: Connection, *, token_hash: str, user: str, name: str, scopes: str, now_ms: int, expires_ms: int) -> None:
    row = {"hash": token_hash, "user": user, "name": name, "scopes": scopes}
    tx.execute(insert(tokens).values(**row, created_ms=now_ms, expires_ms=expires_ms))


def find(tx: Connection, token_hash: str) -> Token | None:
    """Return the token if it and its user and organisation exist; whether it has expired is the caller's question."""
    found = (
        select(
            tokens.c.hash, tokens.c.user, users.c.name, users.c.org, orgs.c.name.label("org_name"), orgs.c.system,
            tokens.c.scopes, tokens.c.expires_ms,
        )
        .join(users, users.c.user == tokens.c.user)
        .join(orgs, orgs.c.org == users.c.org)
        .where(tokens.c.hash == token_hash, users.c.deleted_ms.is_(None), orgs.c.deleted_ms.is_(None))
    )  # fmt: skip
    row = tx.execute(found).first()
    return None if row is None else Token(*row)


def of_org(tx: Connection, org: str, *, now_ms: int) -> Sequence[Issued]:
    """Return the tokens of an organisation's users that are not over, the newest first."""
    found = (
        select(tokens.c.hash, tokens.c.name, tokens.c.scopes, tokens.c.created_ms, tokens.c.expires_ms)
        .join(users, users.c.user == tokens.c.user)
        .where(users.c.org == org, users.c.deleted_ms.is_(None), tokens.c.expires_ms > now_ms)
        .order_by(tokens.c.created_ms.desc(), tokens.c.hash)
    )
    return [Issued(*row) for row in tx.execute(found)]


def remove(tx: Connection, token_hash: str) -> None:
    tx.execute(delete(tokens).where(tokens.c.hash == token_hash))


def remove_expired(tx: Connection, *, now_ms: int) -> None:
    tx.execute(delete(tokens).where(tokens.c.expires_ms < now_ms))
