"""Organisations."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel

from broker.errors import Refused
from broker.ids import Name, checked_name
from cloud import founding
from cloud.api.auth import Admin
from cloud.api.context import Ctx
from cloud.store import audit

router = APIRouter(tags=["orgs"])


class NewOrg(BaseModel):
    name: Name
    user: Name
    password: str


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
