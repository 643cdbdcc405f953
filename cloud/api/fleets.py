"""Fleets."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from broker.errors import Refused
from broker.ids import Name, new_id
from cloud.api.auth import Deployer, Reader
from cloud.api.context import Ctx
from cloud.store import audit, fleets
from cloud.store.database import Connection
from cloud.store.fleets import Fleet

router = APIRouter(tags=["fleets"])


class NewFleet(BaseModel):
    name: Name


@router.post("/v1/fleets", status_code=201)
def create(body: NewFleet, who: Deployer, context: Ctx) -> dict[str, str]:
    now_ms = context.now_ms
    with context.database.write() as tx:
        if fleets.named(tx, who.org, body.name) is not None:
            raise Refused("name_taken", f"there is a fleet {body.name!r}")
        fleet = Fleet(new_id("f"), who.org, body.name)
        fleets.add(tx, fleet, now_ms=now_ms)
        audit.add(tx, org=who.org, by=who.user_name, action="fleet.create", subject=fleet.fleet, now_ms=now_ms)
    return {"fleet": fleet.fleet, "name": fleet.name}


@router.get("/v1/fleets")
def all_fleets(who: Reader, context: Ctx) -> dict[str, Any]:
    with context.database.read() as tx:
        found = fleets.counted(tx, who.org)
    return {"fleets": [{"fleet": fleet.fleet, "name": fleet.name, "devices": members} for fleet, members in found]}


def fleet_named(tx: Connection, org: str, name: str) -> Fleet:
    """Return the fleet; raise `Refused` (`not_found`)."""
    fleet = fleets.named(tx, org, name)
    if fleet is None:
        raise Refused("not_found", f"there is no fleet {name[:80]!r}")
    return fleet
