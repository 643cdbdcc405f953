"""Who asks: the bearer token of a request, and what it may do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, Request

from broker.errors import Refused
from cloud import scopes
from cloud.api.context import Ctx
from cloud.passwords import secret_hash
from cloud.store import tokens
from cloud.store.tokens import Token

TOKEN_PREFIX = "skt_"  # noqa: S105 - a format mark, not a secret


def bearer(request: Request) -> str:
    """Return the token of the request; raise `Refused` (`not_logged_in`) when there is none."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not token:
        raise Refused("not_logged_in", "this needs a login: there is no bearer token")
    return token.strip()


def identify(context: Ctx, token: str) -> Token:
    """Return whom a token stands for; raise `Refused` (`not_logged_in`) when it is unknown or over."""
    with context.database.read() as tx:
        known = tokens.find(tx, secret_hash(token))
    if known is None or known.expires_ms <= context.now_ms:
        raise Refused("not_logged_in", "the token is unknown or has expired")
    return known


def _needs(*any_of: str) -> Callable[..., Token]:
    def check(request: Request, context: Ctx) -> Token:
        known = identify(context, bearer(request))
        check_scope(known, *any_of)
        return known

    return check


def check_scope(token: Token, *any_of: str) -> None:
    """Raise `Refused` (`forbidden`) unless the token has one of these scopes."""
    if not any(scopes.may(token.scopes, scope) for scope in any_of):
        raise Refused("forbidden", f"the token of {token.user_name} has no scope {any_of[0]!r}")


Reader = Annotated[Token, Depends(_needs(scopes.READ))]
Pusher = Annotated[Token, Depends(_needs(scopes.CI, scopes.DEPLOY))]
Deployer = Annotated[Token, Depends(_needs(scopes.DEPLOY))]
Keeper = Annotated[Token, Depends(_needs(scopes.DEVICE))]
Admin = Annotated[Token, Depends(_needs(scopes.ADMIN))]
