"""Enrollment tokens: the hash of each secret, and how often it may still be used."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sqlalchemy import Connection, insert, select, update

from cloud.store.schema import enroll_tokens


@dataclass(frozen=True)
class EnrollToken:
    hash: str
    org: str
    fleet: str
    uses_left: int
    expires_ms: int
    by: str
    needs_approval: bool = False
    serials: str = "[]"  # JSON: these machines need none


def add(tx: Connection, token: EnrollToken, *, now_ms: int) -> None:
    tx.execute(insert(enroll_tokens).values(**asdict(token), created_ms=now_ms))


def find(tx: Connection, token_hash: str) -> EnrollToken | None:
    columns = tuple(enroll_tokens.c[name] for name in EnrollToken.__dataclass_fields__)
    row = tx.execute(select(*columns).where(enroll_tokens.c.hash == token_hash)).first()
    return None if row is None else EnrollToken(*row)


def use(tx: Connection, token_hash: str) -> None:
    """Count one use. Call only inside the transaction that has seen `uses_left` above 0."""
    used = update(enroll_tokens).where(enroll_tokens.c.hash == token_hash)
    tx.execute(used.values(uses_left=enroll_tokens.c.uses_left - 1))
