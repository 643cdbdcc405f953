"""Tokens for the image registry: for the CLI, and for docker's own way of asking."""

from __future__ import annotations

import base64
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field, StringConstraints

from broker.appspec import Repository
from broker.enrollment import REGISTRY_TOKEN_USER
from broker.errors import Refused
from cloud import registry, scopes
from cloud.api.auth import Pusher, identify
from cloud.api.context import Context, Ctx
from cloud.api.logins import checked_user
from cloud.scopes import Grant

router = APIRouter(tags=["registry"])

TOKEN_USER = "token"  # noqa: S105 - the user name that says: the password is an API token


class Wanted(BaseModel):
    repositories: Annotated[list[Repository], Field(min_length=1, max_length=256)]
    actions: Annotated[list[Literal["pull", "push"]], Field(min_length=1)] = ["pull"]


@router.post("/v1/registry/token")
def for_cli(body: Wanted, who: Pusher, context: Ctx) -> dict[str, Any]:
    wanted = [Grant(repository, tuple(body.actions)) for repository in body.repositories]
    grants = scopes.granted(who.org, wanted, allowed=scopes.REPOSITORY_ACTIONS)
    if len(grants) < len(wanted):
        raise Refused("forbidden", f"only repositories below {who.org}/ are yours")
    return {"token": _signed(context, who.user_name, grants), "expires_s": registry.PEOPLE_S}


@router.get("/token")
def for_docker(
    request: Request, context: Ctx, scope: Annotated[list[Annotated[str, StringConstraints(max_length=2000)]], Query()]
) -> dict[str, Any]:
    """docker's token endpoint: Basic authentication with user and password, or `token` and an API token.

    A device's engine that takes no bearer token (Podman) shows its registry token as a password, and gets it back.
    """
    name, password = _basic(request)
    if name == REGISTRY_TOKEN_USER:
        left_s = context.registry_tokens.seconds_left(password, now_s=context.now_ms // 1000)
        return {"token": password, "access_token": password, "expires_in": left_s}
    org, user, held = _who(name, password, context)
    allowed: tuple[str, ...] = ("pull",) if scopes.may(held, scopes.READ) else ()
    if scopes.may(held, scopes.CI) or scopes.may(held, scopes.DEPLOY):
        allowed = scopes.REPOSITORY_ACTIONS
    token = _signed(context, user, scopes.granted(org, scopes.parse_docker_scopes(scope), allowed=allowed))
    return {"token": token, "access_token": token, "expires_in": registry.PEOPLE_S}


def _who(name: str, password: str, context: Context) -> tuple[str, str, str]:
    """Return whose organisation, who, and the scopes."""
    if name == TOKEN_USER:
        token = identify(context, password)
        return token.org, token.user_name, token.scopes
    user = checked_user(context, name, password)
    return user.org, user.name, user.scopes


def _basic(request: Request) -> tuple[str, str]:
    kind, _, packed = request.headers.get("authorization", "").partition(" ")
    try:
        name, colon, password = base64.b64decode(packed, validate=True).decode().partition(":")
    except ValueError as error:
        raise Refused("not_logged_in", "the Authorization header is damaged") from error
    if kind.lower() != "basic" or not colon:
        raise Refused("not_logged_in", "the registry needs a login")
    return name, password


def _signed(context: Context, subject: str, grants: tuple[Grant, ...]) -> str:
    return context.registry_tokens.sign(subject, grants, now_s=context.now_ms // 1000, life_s=registry.PEOPLE_S)
