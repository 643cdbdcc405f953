"""Gathers from the cloud all that bears on why something is as it is."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote

from cloud.cli import answers
from cloud.cli.client import Client
from cloud.cli.errors import RequestRefused
from cloud.cli.why_text import Seen, is_well

LINES = 10  # of each service in question
COMMANDS = 20
NOT_FOUND = 404


def look(client: Client, device: str, app: str | None, service: str | None) -> Seen:
    """Return what the cloud holds; refuse an app or a service that is neither wanted nor there."""
    path = f"/v1/devices/{quote(device, safe='')}"
    shown = client.get(path, answers.Device)
    commands = client.get(f"{path}/commands", answers.Commands, limit=COMMANDS).commands
    seen = Seen(shown, _desired(client, path), commands, (), app, service)
    if app is not None and not seen.instances and seen.wanted(app) is None:
        raise RequestRefused("not_found", f"{shown.name} has no app {app!r}", hint=f"see: skerry why {shown.name}")
    asked = [
        (one.name, each.name)
        for one in seen.instances
        for each in one.services
        if service == each.name or (service is None and not is_well(each))
    ]
    if service is not None and seen.instances and not asked:
        hint = f"see: skerry why {shown.name} {app}"
        raise RequestRefused("not_found", f"{app} has no service {service!r} on {shown.name}", hint=hint)
    lines: list[answers.Line] = []
    for name, each in dict.fromkeys(asked):
        found = client.get(
            "/v1/logs", answers.Lines, device=shown.device, app=name, service=each, newest="true", limit=LINES
        )
        lines += found.lines
    return replace(seen, lines=lines)


def _desired(client: Client, path: str) -> answers.Desired | None:
    try:
        return client.get(f"{path}/desired", answers.Desired)
    except RequestRefused as error:
        if error.status == NOT_FOUND:
            return None
        raise
