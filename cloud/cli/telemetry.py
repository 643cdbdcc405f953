"""`skerry telemetry`: the samples that devices sent, the gaps where some are missing, and the audit of both."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer

from cloud.cli import exits
from cloud.cli.render import note, say, say_json, say_now
from cloud.cli.surroundings import AsJson, AsJsonLines

OnlyDevice = Annotated[str | None, typer.Option("--device", "-d", help="Only of this device: its name or id.")]
Newest = Annotated[int, typer.Option("--limit", "-n", min=1, max=1_000_000, help="How many of the newest.")]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")]


def telemetry(
    context: typer.Context,
    *,
    device: OnlyDevice = None,
    stream: Annotated[str | None, typer.Option("--stream", "-s", help="Only of this stream.")] = None,
    limit: Newest = 20,
    follow: Follow = False,
    as_json: AsJsonLines = False,
) -> None:
    """Show the newest samples, oldest first, and what is known to be missing."""
    if context.invoked_subcommand is not None:
        return
    from cloud.cli.answers import Gap, Sample
    from cloud.cli.connect import connected
    from cloud.cli.device_names import DeviceNames
    from cloud.cli.nudges import Nudges
    from cloud.cli.paging import arriving, newest
    from cloud.cli.samples import SampleSource, element_text

    with connected(context) as client:
        source, names = SampleSource(client, device=device, stream=stream), DeviceNames(client)
        samples, cursor = newest(source.newest, keep=limit)
        gaps = source.new_gaps()
        if as_json and not follow:
            plain = {"samples": [one.plain() for one in samples], "gaps": [one.plain() for one in gaps]}
            say_json({**plain, "next": cursor})
            return

        def show(element: Sample | Gap) -> None:
            if as_json:
                say_json({"gap" if isinstance(element, Gap) else "sample": element.plain()})
            else:
                say_now(element_text(names.name(element.device), element))

        known: list[Sample | Gap] = [*gaps, *samples]
        for element in known:
            show(element)
        if follow:
            pause = Nudges(client, kind="" if stream is None else stream.partition(":")[0]).pause
            for element in arriving(source.page_with_gaps, cursor, pause=pause, lost=told_lost):
                show(element)


def audit(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The device: its name or id.")],
    *,
    stream: Annotated[str | None, typer.Option("--stream", "-s", help="Only this stream.")] = None,
    as_json: AsJson = False,
) -> int:
    """Prove what became of everything that a device numbered: stored, named as lost, or missing."""
    from cloud.cli import answers
    from cloud.cli.connect import connected
    from cloud.cli.samples import audit_lines

    with connected(context) as client:
        found = client.get(f"/v1/devices/{quote(name, safe='')}/telemetry/audit", answers.Audit, stream=stream)
    if as_json:
        say_json(found.plain())
    else:
        say(*audit_lines(found))
    return exits.OK if found.complete else exits.FAILED


def keep(
    context: typer.Context,
    days: Annotated[str, typer.Argument(help="So many days after it came, as 90d; or forever.")] = "",
    *,
    as_json: AsJson = False,
) -> None:
    """Show or set for how long the organisation keeps samples and log lines."""
    from cloud.cli import answers
    from cloud.cli.connect import connected
    from cloud.cli.durations import days_of

    with connected(context) as client:
        if days:
            body = {"keep_days": None if days == "forever" else days_of(days)}
            found = client.patch("/v1/org", answers.Org, body)
        else:
            found = client.get("/v1/org", answers.Org)
    if as_json:
        say_json(found.plain())
    elif found.keep_days is None:
        say(f"{found.name} keeps samples and log lines for ever")
    else:
        say(f"{found.name} keeps samples and log lines for {found.keep_days} days after they came")


def told_lost(why: str) -> None:
    """Tell that the cloud does not answer at present."""
    note(f"connection lost, trying again: {why}")
