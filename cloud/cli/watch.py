"""`skerry watch`: everything that happens, as it happens, until Ctrl-C."""

from __future__ import annotations

from typing import Annotated

import typer

from cloud.cli.render import moment, note, say_json, say_now
from cloud.cli.surroundings import AsJsonLines, around


def watch(
    context: typer.Context,
    device: Annotated[str, typer.Option("--device", "-d", help="Only this device: its name or id.")] = "",
    as_json: AsJsonLines = False,
) -> None:
    """Show what happens on the devices, one line each, from now on; first, how they are."""
    from cloud.cli.changes import Follower
    from cloud.cli.connect import connected
    from cloud.cli.event_stream import follow

    here = around(context)
    follower = Follower(device)
    with connected(context) as client:
        for event in follow(client, pause=here.pause, lost=lambda why: note(f"connection lost, trying again: {why}")):
            if as_json:
                if follower.wants(event):
                    say_json({"id": event.id, "event": event.type, "data": event.document()})
                continue
            for name, text in follower.take(event):
                say_now(f"{moment(here.clock.wall_ms())}  {name:16}  {text}")
