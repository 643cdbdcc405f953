"""Organisations."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from broker.errors import Refused
from broker.ids import Name, checked_name
from cloud import founding
from cloud.api.auth import Admin, Reader
from cloud.api.context import Ctx
from cloud.store import audit, orgs, sinks

router = APIRouter(tags=["orgs"])


class NewOrg(BaseModel):
    name: Name
    user: Name
    password: str


class Keeping(BaseModel):
    keep_days: Annotated[int, Field(ge=1, le=36_500)] | None


@router.get("/v1/org")
def show(who: Reader, context: Ctx) -> dict[str, Any]:
    """The organisation of who asks, and for how many days it keeps what devices send; null for ever."""
    with context.database.read() as tx:
        org = orgs.get(tx, who.org)
    assert org is not None
    return {"org": org.org, "name": org.name, "keep_days": org.keep_days}


@router.get("/v1/sinks")
def show_sinks(who: Admin, context: Ctx) -> dict[str, Any]:
    """How far each sink is and what is wrong with it; only for administrators of the system organisation."""
    if not who.system:
        raise Refused("forbidden", "only an administrator of the system organisation sees sinks")
    with context.database.read() as tx:
        return {"sinks": [vars(state) for state in sinks.states(tx)]}


@router.patch("/v1/org")
def change(body: Keeping, who: Admin, context: Ctx) -> dict[str, Any]:
    """Keep samples and log lines for so many days after they came, or for ever."""
    with context.database.write() as tx:
        orgs.keep(tx, who.org, days=body.keep_days)
        audit.add(tx, org=who.org, by=who.user_name, action="org.keep", subject=who.org, now_ms=context.now_ms)
    context.notices.kept()
    return show(who, context)


@router.post("/v1/orgs", status_code=201)
def create(body: NewOrg, who: Admin, context: Ctx) -> dict[str, str]:
    """Make an organisation with its first user; only the system organisation's administrators may."""
    if not who.system:
        raise Refused("forbidden", "only an administrator of the system organisation makes organisations")
    checked_name(body.name, "organisation")
    password, now_ms = context.passwords.hash(body.password), context.now_ms
    with context.database.write() as tx:
        org = founding.found(tx, name=body.name, user=body.user, password=password, system=False, now_ms=now_ms)
        audit.add(tx, org=who.org, by=who.user_name, action="org.create", subject=org.org, now_ms=now_ms)
    return {"org": org.org, "name": org.name}
