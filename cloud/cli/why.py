"""`skerry why`: why a device, an app on it or a service of that is as it is, on one screen."""

from __future__ import annotations

from typing import Annotated

import typer

from cloud.cli.render import say, say_json
from cloud.cli.surroundings import AsJson, around


def why(
    context: typer.Context,
    device: Annotated[str, typer.Argument(help="Its name or id.")],
    app: Annotated[str | None, typer.Argument(help="Only this app.")] = None,
    service: Annotated[str | None, typer.Argument(help="Only this service of the app.")] = None,
    as_json: AsJson = False,
) -> None:
    """Tell why a device, an app or a service is as it is: what should be, what is, and what stands in between."""
    from cloud.cli.connect import connected
    from cloud.cli.looking import look
    from cloud.cli.why_text import because, why_lines

    now_ms = around(context).clock.wall_ms()
    with connected(context) as client:
        seen = look(client, device, app, service)
    if not as_json:
        say(*why_lines(seen, now_ms))
        return
    say_json(
        {
            "because": because(seen, now_ms),
            "device": seen.device.plain(),
            "desired": None if seen.desired is None else seen.desired.plain(),
            "commands": [one.plain() for one in seen.commands],
            "lines": [one.plain() for one in seen.lines],
        }
    )
