"""Where a command goes: a device, a fleet, or the one fleet that runs the app."""

from __future__ import annotations

from urllib.parse import quote

from cloud.cli import answers
from cloud.cli.client import Client
from cloud.cli.errors import RequestRefused


def path_of(client: Client, app: str | None, *, device: str | None, fleet: str | None) -> str:
    """Return the path to post to; refuse what names no place, or two."""
    if device is not None and fleet is not None:
        raise RequestRefused("two_places", "--device and --fleet name two places", hint="give one of them")
    if device is not None:
        return f"/v1/devices/{quote(device, safe='')}/commands"
    if fleet is None:
        fleet = _only_fleet(client, app or "")
    return f"/v1/fleets/{quote(fleet, safe='')}/commands"


def _only_fleet(client: Client, app: str) -> str:
    fleets = sorted(placed.fleet for placed in client.get(f"/v1/apps/{quote(app, safe='')}", answers.App).instances)
    if not fleets:
        raise RequestRefused("not_deployed", f"{app} is deployed nowhere", hint=f"deploy it first: skerry deploy {app}")
    if len(fleets) > 1:
        raise RequestRefused(
            "many_fleets", f"{app} runs in the fleets {', '.join(fleets)}", hint="say where: --fleet or --device"
        )
    return fleets[0]
