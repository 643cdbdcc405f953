"""`skerry logs`: what the apps' containers wrote, as far as the devices have sent it."""

from __future__ import annotations

from typing import Annotated

import typer

from cloud.cli.durations import seconds_of
from cloud.cli.render import say_json, say_now
from cloud.cli.surroundings import AsJsonLines, around
from cloud.cli.telemetry import Follow, OnlyDevice, told_lost


def logs(
    context: typer.Context,
    app: Annotated[str | None, typer.Argument(metavar="[APP]", help="Only of this app.")] = None,
    *,
    service: Annotated[str | None, typer.Option("--service", "-s", help="Only of this service.")] = None,
    device: OnlyDevice = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", "--tail", min=1, max=1_000_000, help="How many of the newest.")
    ] = 100,
    since: Annotated[str | None, typer.Option("--since", help="Only lines of the last 90s, 5m, 1h30m, 2d.")] = None,
    follow: Follow = False,
    as_json: AsJsonLines = False,
) -> None:
    """Show the newest log lines, oldest first."""
    from cloud.cli.connect import connected
    from cloud.cli.device_names import DeviceNames
    from cloud.cli.nudges import Nudges
    from cloud.cli.paging import arriving, newest
    from cloud.cli.samples import LineSource, line_text

    since_ms = None if since is None else around(context).clock.wall_ms() - seconds_of(since) * 1000
    with connected(context) as client:
        source = LineSource(client, device=device, app=app, service=service, since_ms=since_ms)
        names = DeviceNames(client)
        lines, cursor = newest(source.newest, keep=limit)
        if as_json and not follow:
            say_json({"lines": [line.plain() for line in lines], "next": cursor})
            return
        for line in lines:
            say_json({"line": line.plain()}) if as_json else say_now(line_text(names.name(line.device), line))
        if follow:
            for line in arriving(source.page, cursor, pause=Nudges(client, kind="logs").pause, lost=told_lost):
                say_json({"line": line.plain()}) if as_json else say_now(line_text(names.name(line.device), line))
