"""How links may be used: set for a fleet, and for one device over that; it travels with the desired state."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from broker.messages import MIRRORS_MAX, Count, Hour, Mirror
from cloud.api.auth import Deployer, Reader
from cloud.api.context import Ctx
from cloud.api.devices import device_named
from cloud.api.fleets import fleet_named
from cloud.store import audit, due, links

router = APIRouter(tags=["links"])


class Changes(BaseModel):
    """What shall be set; null takes a setting back, what is not named stays."""

    model_config = ConfigDict(extra="forbid")

    bytes_per_day: Count | None = None
    bytes_per_window: Count | None = None
    metered: bool | None = None
    hours: Annotated[list[tuple[Hour, Hour]], Field(max_length=24)] | None = None
    without_clock: Literal["open", "closed"] | None = None
    mirrors: Annotated[list[Mirror], Field(max_length=MIRRORS_MAX)] | None = None

    def over(self, before: links.Settings) -> dict[str, Any]:
        """Return the settings after these changes."""
        changed = self.model_dump(mode="json", exclude_unset=True)
        return {name: value for name, value in {**before, **changed}.items() if value is not None}


@router.get("/v1/fleets/{fleet}/link")
def of_fleet(fleet: str, who: Reader, context: Ctx) -> dict[str, Any]:
    with context.database.read() as tx:
        found = fleet_named(tx, who.org, fleet)
        return {"fleet": found.name, "link": links.of_fleet(tx, found.fleet)}


@router.patch("/v1/fleets/{fleet}/link")
def change_fleet(fleet: str, body: Changes, who: Deployer, context: Ctx) -> dict[str, Any]:
    """Change how the links of a fleet's devices may be used; they are told with their next desired state, at once."""
    now_ms = context.now_ms
    with context.database.write() as tx:
        found = fleet_named(tx, who.org, fleet)
        settings = body.over(links.of_fleet(tx, found.fleet))
        links.put_fleet(tx, found.fleet, settings)
        due.add_fleet(tx, found.fleet)
        audit.add(
            tx, org=who.org, by=who.user_name, action="fleet.link", subject=found.fleet, detail=str(settings),
            now_ms=now_ms,
        )  # fmt: skip
    context.notices.due()
    return {"fleet": found.name, "link": settings}


@router.get("/v1/devices/{device}/link")
def of_device(device: str, who: Reader, context: Ctx) -> dict[str, Any]:
    """What was set for the device itself, and what holds for it with its fleet's settings."""
    with context.database.read() as tx:
        found = device_named(tx, who.org, device)
        return {
            "device": found.name,
            "link": links.of_device(tx, found.device),
            "holds": links.of_devices(tx, [found.device])[found.device],
        }


@router.patch("/v1/devices/{device}/link")
def change_device(device: str, body: Changes, who: Deployer, context: Ctx) -> dict[str, Any]:
    now_ms = context.now_ms
    with context.database.write() as tx:
        found = device_named(tx, who.org, device)
        settings = body.over(links.of_device(tx, found.device))
        links.put_device(tx, found.device, settings)
        due.add_device(tx, found.device)
        audit.add(
            tx, org=who.org, by=who.user_name, action="device.link", subject=found.device, detail=str(settings),
            now_ms=now_ms,
        )  # fmt: skip
        holds = links.of_devices(tx, [found.device])[found.device]
    context.notices.due()
    return {"device": found.name, "link": settings, "holds": holds}
