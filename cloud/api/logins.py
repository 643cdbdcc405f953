"""Logging in and out, and who one is."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, StringConstraints

from broker.errors import Refused
from cloud.api.auth import TOKEN_PREFIX, Reader, bearer
from cloud.api.context import Context, Ctx
from cloud.passwords import new_secret, secret_hash
from cloud.store import audit, orgs, tokens, users
from cloud.store.users import User

router = APIRouter(tags=["login"])

TOKEN_LIFE_MS = 90 * 24 * 3600 * 1000


class Login(BaseModel):
    user: Annotated[str, StringConstraints(max_length=63)]
    password: Annotated[str, StringConstraints(max_length=1000)]
    name: Annotated[str, StringConstraints(max_length=200)] = ""


@router.post("/v1/login")
def login(body: Login, context: Ctx) -> dict[str, Any]:
    user = checked_user(context, body.user, body.password)
    token, now_ms = new_secret(TOKEN_PREFIX), context.now_ms
    expires_ms = now_ms + TOKEN_LIFE_MS
    with context.database.write() as tx:
        org = orgs.get(tx, user.org)
        if org is None:
            raise Refused("wrong_password", "wrong user name or password")
        tokens.add(
            tx,
            token_hash=secret_hash(token),
            user=user.user,
            name=body.name,
            scopes=user.scopes,
            now_ms=now_ms,
            expires_ms=expires_ms,
        )
        audit.add(tx, org=user.org, by=user.name, action="login", subject=body.name, now_ms=now_ms)
    return {"token": token, "org": org.org, "org_name": org.name, "user": user.name, "expires_ms": expires_ms}


def checked_user(context: Context, name: str, password: str) -> User:
    """Return the user if the password is right; raise `Refused` (`wrong_password`, `too_many_logins`) otherwise."""
    wait_s = context.logins.take(name.lower(), 1.0, now_s=context.clock.monotonic())
    if wait_s:
        raise Refused("too_many_logins", f"too many logins of one user: try again in {wait_s:.0f} s")
    with context.database.read() as tx:
        user = users.named(tx, name)
    if not context.passwords.check(user.password if user else None, password) or user is None:
        raise Refused("wrong_password", "wrong user name or password")
    return user


@router.post("/v1/logout", status_code=204)
def logout(request: Request, who: Reader, context: Ctx) -> Response:
    with context.database.write() as tx:
        tokens.remove(tx, secret_hash(bearer(request)))
        audit.add(tx, org=who.org, by=who.user_name, action="logout", subject="", now_ms=context.now_ms)
    return Response(status_code=204)


@router.get("/v1/me")
def me(who: Reader, context: Ctx) -> dict[str, Any]:
    return {
        "user": who.user_name,
        "org": who.org,
        "org_name": who.org_name,
        "scopes": who.scopes.split(" "),
        "expires_ms": who.expires_ms,
        "registry": str(context.settings.registry),
    }
