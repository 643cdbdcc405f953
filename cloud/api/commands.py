"""Commands: what operators ask of devices at once, and what became of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from broker.errors import Refused
from broker.ids import Name
from broker.verbs import ServiceName
from cloud import command_view, commanding
from cloud.api.auth import Deployer, Reader
from cloud.api.context import Context, Ctx
from cloud.api.devices import device_named
from cloud.api.fleets import fleet_named
from cloud.commanding import Ask
from cloud.store import audit, commands, devices
from cloud.store.commands import Command
from cloud.store.database import Connection
from cloud.store.devices import Device
from cloud.store.tokens import Token

router = APIRouter(tags=["commands"])

WEEK_S = 7 * 24 * 3600
Limit = Annotated[int, Query(ge=1, le=10_000)]


class NewCommand(BaseModel):
    """A verb for a device, or for each one of a fleet; `app` and `service` where the verb is about an app."""

    verb: Literal["app.restart", "app.stop", "app.start", "app.unlock", "device.resync", "device.prune"]
    app: Name | None = None
    service: ServiceName | None = None
    wait_for_s: Annotated[int, Field(ge=1, le=WEEK_S)] = 60
    ttl_s: Annotated[int, Field(ge=1, le=3600)] = 60


@router.post("/v1/devices/{device}/commands", status_code=201)
def command_device(device: str, body: NewCommand, who: Deployer, context: Ctx) -> dict[str, Any]:
    """Ask something of one device. It is kept for `wait_for_s` while the device cannot be reached."""
    return _ordered(context, who, body, device=device)


@router.post("/v1/fleets/{fleet}/commands", status_code=201)
def command_fleet(fleet: str, body: NewCommand, who: Deployer, context: Ctx) -> dict[str, Any]:
    """Ask the same of every device of a fleet."""
    return _ordered(context, who, body, fleet=fleet)


@router.get("/v1/commands")
def all_commands(who: Reader, context: Ctx, device: str = "", request: str = "", limit: Limit = 100) -> dict[str, Any]:
    """The newest commands first, of one device or one request where these are named."""
    with context.database.read() as tx:
        only = device_named(tx, who.org, device).device if device else None
        return {"commands": _views(tx, who.org, device=only, request=request or None, limit=limit)}


@router.get("/v1/devices/{device}/commands")
def commands_of_device(device: str, who: Reader, context: Ctx, limit: Limit = 100) -> dict[str, Any]:
    with context.database.read() as tx:
        found = device_named(tx, who.org, device)
        return {"commands": _views(tx, who.org, device=found.device, request=None, limit=limit)}


@router.get("/v1/commands/{command}")
def one_command(command: str, who: Reader, context: Ctx) -> dict[str, Any]:
    with context.database.read() as tx:
        found = commands.get(tx, who.org, command)
        if found is None:
            raise Refused("not_found", f"there is no command {command[:80]!r}")
        return command_view.views(tx, who.org, [found])[0]


def _ordered(context: Context, who: Token, body: NewCommand, *, device: str = "", fleet: str = "") -> dict[str, Any]:
    wait_s = context.commands.take(who.org, 1.0, now_s=context.clock.monotonic())
    if wait_s:
        raise Refused("too_many_commands", f"too many commands at once: try again in {wait_s:.0f} s")
    now_ms = context.now_ms
    ask = Ask(who.org, who.user_name, body.verb, body.app, body.service, body.wait_for_s, body.ttl_s)
    with context.database.write() as tx:
        to = [device_named(tx, who.org, device)] if device else _of_fleet(tx, who.org, fleet)
        made = commanding.order(tx, ask, to, now_ms=now_ms)
        subject, detail = device or fleet, " ".join(filter(None, (body.verb, body.app, body.service)))
        audit.add(tx, org=who.org, by=who.user_name, action="command", subject=subject, detail=detail, now_ms=now_ms)
        shown = command_view.views(tx, who.org, made)
    context.notices.commanded()
    _show(context, who.org, shown)
    return {"request": made[0].request if made else None, "commands": shown}


def _of_fleet(tx: Connection, org: str, name: str) -> list[Device]:
    return list(devices.of_fleet(tx, org, fleet_named(tx, org, name).fleet))


def _views(tx: Connection, org: str, *, device: str | None, request: str | None, limit: int) -> list[dict[str, Any]]:
    found: list[Command] = list(commands.of_org(tx, org, device=device, request=request, limit=limit))
    return command_view.views(tx, org, found)


def _show(context: Context, org: str, shown: list[dict[str, Any]]) -> None:
    if context.feed.watched(org):
        for view in shown:
            context.feed.publish(org, "command", view)
