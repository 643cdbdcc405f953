"""Tokens for programs: less than what a login may do, for as long as was said. Only their hashes are kept."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field, StringConstraints

from broker.errors import Refused
from cloud import scopes
from cloud.api.auth import TOKEN_PREFIX, Admin
from cloud.api.context import Ctx
from cloud.passwords import new_secret, secret_hash
from cloud.store import audit, tokens
from cloud.store.tokens import Issued

router = APIRouter(tags=["tokens"])

LIFE_S_MAX = 366 * 24 * 3600


class NewApiToken(BaseModel):
    name: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    scopes: Annotated[list[str], Field(min_length=1, max_length=len(scopes.ALL))]
    ttl_s: Annotated[int, Field(ge=60, le=LIFE_S_MAX)] = 30 * 24 * 3600


@router.post("/v1/tokens", status_code=201)
def create(body: NewApiToken, who: Admin, context: Ctx) -> dict[str, Any]:
    """Make a token; this answer is the only one that has it. It may no more than who makes it."""
    for scope in body.scopes:
        if scope not in scopes.ALL:
            raise Refused("bad_scope", f"there is no scope {scope[:40]!r}; there are {', '.join(scopes.ALL)}")
        if not scopes.may(who.scopes, scope):
            raise Refused("forbidden", f"the token of {who.user_name} has no scope {scope!r} to give away")
    secret, now_ms = new_secret(TOKEN_PREFIX), context.now_ms
    chosen = " ".join(scope for scope in scopes.ALL if scope in body.scopes)
    made = Issued(secret_hash(secret), body.name, chosen, now_ms, now_ms + body.ttl_s * 1000)
    with context.database.write() as tx:
        tokens.add(
            tx, token_hash=made.hash, user=who.user, name=made.name, scopes=made.scopes, now_ms=now_ms,
            expires_ms=made.expires_ms,
        )  # fmt: skip
        audit.add(
            tx, org=who.org, by=who.user_name, action="token.create", subject=made.token, detail=chosen, now_ms=now_ms
        )
    return _shown(made) | {"secret": secret}


@router.get("/v1/tokens")
def all_tokens(who: Admin, context: Ctx) -> dict[str, Any]:
    """The organisation's tokens, logins among them, that are not over."""
    with context.database.read() as tx:
        return {"tokens": [_shown(row) for row in tokens.of_org(tx, who.org, now_ms=context.now_ms)]}


@router.delete("/v1/tokens/{token}", status_code=204)
def revoke(token: str, who: Admin, context: Ctx) -> Response:
    """End a token, or a login, at once."""
    with context.database.write() as tx:
        known = [row for row in tokens.of_org(tx, who.org, now_ms=context.now_ms) if row.token == token]
        if not known:
            raise Refused("not_found", f"there is no token {token[:80]!r}")
        tokens.remove(tx, known[0].hash)
        audit.add(
            tx, org=who.org, by=who.user_name, action="token.revoke", subject=token, detail=known[0].name,
            now_ms=context.now_ms,
        )  # fmt: skip
    return Response(status_code=204)


def _shown(row: Issued) -> dict[str, Any]:
    return {
        "token": row.token,
        "name": row.name,
        "scopes": row.scopes.split(" "),
        "created_ms": row.created_ms,
        "expires_ms": row.expires_ms,
    }
