"""Commanding: turns what an operator asks for into commands in the outbox, one for each device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from broker import verbs
from broker.errors import Refused
from broker.ids import new_id
from cloud.store import apps, commands, instances
from cloud.store.commands import Command
from cloud.store.database import Connection
from cloud.store.devices import Device

OPEN_MAX = 32  # of one device: what more would wait for these anyway


@dataclass(frozen=True)
class Ask:
    """What is asked: `wait_for_s` is how long a device may take to be there, `ttl_s` how long it may take to begin."""

    org: str
    by: str
    verb: str
    app: str | None
    service: str | None
    wait_for_s: int
    ttl_s: int


def order(tx: Connection, ask: Ask, to: Sequence[Device], *, now_ms: int) -> list[Command]:
    """Put a command for each of the devices into the outbox; raise `Refused` without putting any."""
    request = new_id("r")
    already = commands.open_counts(tx, ask.org)
    crowded = next((device for device in to if already.get(device.device, 0) >= OPEN_MAX), None)
    if crowded is not None:
        raise Refused("too_many_commands", f"{OPEN_MAX} commands for {crowded.name} are open already")
    arguments = {fleet: _arguments(tx, ask, fleet) for fleet in {device.fleet for device in to}}
    made = [
        Command(
            command=new_id("c"),
            request=request,
            org=ask.org,
            device=device.device,
            verb=ask.verb,
            args=arguments[device.fleet],
            created_ms=now_ms,
            by=ask.by,
            until_ms=now_ms + ask.wait_for_s * 1000,
            ttl_s=ask.ttl_s,
        )
        for device in to
    ]
    commands.add(tx, made)
    return made


def _arguments(tx: Connection, ask: Ask, fleet: str) -> dict[str, Any]:
    given: dict[str, Any] = {}
    if ask.app is not None:
        app = apps.named(tx, ask.org, ask.app)
        if app is None:
            raise Refused("not_found", f"there is no app {ask.app!r}")
        instance = instances.find(tx, app.app, fleet)
        if instance is None:
            raise Refused("not_deployed", f"{ask.app} is not deployed where this command would go")
        given["instance"] = instance.instance
    if ask.service is not None:
        given["service"] = ask.service
    verbs.arguments(ask.verb, given)
    return given
