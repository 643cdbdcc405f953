"""`skerry fleet link` and `skerry device link`: how links may be used, and which mirrors are nearer than the cloud."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import quote

import typer

from cloud.cli.render import say, say_json
from cloud.cli.surroundings import AsJson

Mirrors = Annotated[
    list[str] | None, typer.Option("--mirror", help="A mirror's base URL, tried in this order; `none` for no mirror.")
]
PerDay = Annotated[
    str | None, typer.Option("--bytes-per-day", help="Bytes of images a day: 50M, 2G; `none` for no limit.")
]
PerWindow = Annotated[
    str | None, typer.Option("--bytes-per-window", help="Bytes of images in one stretch of --hours; `none` for any.")
]
Hours = Annotated[
    list[str] | None, typer.Option("--hours", help="Hours of UTC for images: 22-6; `none` for all. Several times.")
]
Metered = Annotated[
    bool | None, typer.Option("--metered/--not-metered", help="Bytes cost: no images but within a budget.")
]
WithoutClock = Annotated[
    str | None, typer.Option("--without-clock", help="While a device does not know the time: `open` or `closed`.")
]
Clear = Annotated[bool, typer.Option("--clear", help="Take back everything that is set here.")]


def fleet_link(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The fleet's name.")],
    *,
    mirror: Mirrors = None,
    bytes_per_day: PerDay = None,
    bytes_per_window: PerWindow = None,
    hours: Hours = None,
    metered: Metered = None,
    without_clock: WithoutClock = None,
    clear: Clear = False,
    as_json: AsJson = False,
) -> None:
    """Show how the links of a fleet's devices may be used; with options, change it."""
    asked = _changes(
        mirrors=mirror, per_day=bytes_per_day, per_window=bytes_per_window, hours=hours, metered=metered,
        without_clock=without_clock, clear=clear,
    )  # fmt: skip
    _link(context, f"/v1/fleets/{quote(name, safe='')}/link", asked, as_json=as_json)


def device_link(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The device's name or id.")],
    *,
    mirror: Mirrors = None,
    bytes_per_day: PerDay = None,
    bytes_per_window: PerWindow = None,
    hours: Hours = None,
    metered: Metered = None,
    without_clock: WithoutClock = None,
    clear: Clear = False,
    as_json: AsJson = False,
) -> None:
    """Show how one device's link may be used; with options, change it. What is set here goes before its fleet's."""
    asked = _changes(
        mirrors=mirror, per_day=bytes_per_day, per_window=bytes_per_window, hours=hours, metered=metered,
        without_clock=without_clock, clear=clear,
    )  # fmt: skip
    _link(context, f"/v1/devices/{quote(name, safe='')}/link", asked, as_json=as_json)


def _changes(
    *,
    mirrors: list[str] | None,
    per_day: str | None,
    per_window: str | None,
    hours: list[str] | None,
    metered: bool | None,
    without_clock: str | None,
    clear: bool,
) -> dict[str, Any]:
    from cloud.cli.link_text import SETTINGS, bytes_of, hours_of

    asked: dict[str, Any] = dict.fromkeys(SETTINGS) if clear else {}
    if mirrors is not None:
        asked["mirrors"] = None if mirrors == ["none"] else mirrors
    if per_day is not None:
        asked["bytes_per_day"] = None if per_day == "none" else bytes_of(per_day)
    if per_window is not None:
        asked["bytes_per_window"] = None if per_window == "none" else bytes_of(per_window)
    if hours is not None:
        asked["hours"] = None if hours == ["none"] else [hours_of(text) for text in hours]
    if metered is not None:
        asked["metered"] = metered
    if without_clock is not None:
        asked["without_clock"] = without_clock
    return asked


def _link(context: typer.Context, path: str, asked: Mapping[str, Any], *, as_json: bool) -> None:
    from cloud.cli import answers
    from cloud.cli.connect import connected
    from cloud.cli.link_text import link_lines

    with connected(context) as client:
        found = client.patch(path, answers.Link, asked) if asked else client.get(path, answers.Link)
    if as_json:
        say_json(found.plain())
    else:
        say(*link_lines(found))
