"""`skerry fleet`: groups of devices that are deployed to as one."""

from __future__ import annotations

from typing import Annotated

import typer

from cloud.cli.render import say, say_json, table
from cloud.cli.surroundings import AsJson


def list_fleets(context: typer.Context, as_json: AsJson = False) -> None:
    """List the fleets."""
    from cloud.cli import answers
    from cloud.cli.connect import connected

    with connected(context) as client:
        answer = client.get("/v1/fleets", answers.Fleets)
    if as_json:
        say_json(answer.plain())
    else:
        say(*table(("FLEET", "DEVICES", "ID"), [(fleet.name, fleet.devices, fleet.fleet) for fleet in answer.fleets]))


def create(
    context: typer.Context, name: Annotated[str, typer.Argument(help="Its name.")], as_json: AsJson = False
) -> None:
    """Make a fleet."""
    from cloud.cli import answers
    from cloud.cli.connect import connected

    with connected(context) as client:
        fleet = client.post("/v1/fleets", answers.Fleet, {"name": name})
    if as_json:
        say_json(fleet.plain())
    else:
        say(f"fleet {fleet.name} ({fleet.fleet})")
