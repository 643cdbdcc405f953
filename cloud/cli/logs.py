"""`skerry logs`: what the apps' containers wrote, as far as the devices have sent it."""

from __future__ import annotations

from typing import Annotated

import typer

from cloud.cli.render import say_json, say_now
from cloud.cli.surroundings import AsJsonLines, around
from cloud.cli.telemetry import Follow, Newest, OnlyDevice, told_lost


def logs(
    context: typer.Context,
    app: Annotated[str | None, typer.Argument(metavar="[APP]", help="Only of this app.")] = None,
    *,
    service: Annotated[str | None, typer.Option("--service", "-s", help="Only of this service.")] = None,
    device: OnlyDevice = None,
    limit: Newest = 100,
    follow: Follow = False,
    as_json: AsJsonLines = False,
) -> None:
    """Show the newest log lines, oldest first."""
    from cloud.cli.connect import connected
    from cloud.cli.device_names import DeviceNames
    from cloud.cli.paging import arriving, newest
    from cloud.cli.samples import LineSource, line_text

    with connected(context) as client:
        source, names = LineSource(client, device=device, app=app, service=service), DeviceNames(client)
        lines, cursor = newest(source.newest, keep=limit)
        if as_json and not follow:
            say_json({"lines": [line.plain() for line in lines], "next": cursor})
            return
        for line in lines:
            say_json({"line": line.plain()}) if as_json else say_now(line_text(names.name(line.device), line))
        if follow:
            for line in arriving(source.page, cursor, pause=around(context).pause, lost=told_lost):
                say_json({"line": line.plain()}) if as_json else say_now(line_text(names.name(line.device), line))
