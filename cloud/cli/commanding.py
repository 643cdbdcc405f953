"""`skerry app restart|stop|start|unlock`, `skerry device resync|prune|unlock`, `skerry command`: asking at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, NoReturn
from urllib.parse import quote

import typer

from cloud.cli import exits
from cloud.cli.durations import seconds_of
from cloud.cli.errors import RequestRefused
from cloud.cli.render import note, say, say_json, table
from cloud.cli.surroundings import AsJson, around

AppName = Annotated[str, typer.Argument(metavar="APP", help="The app's name.")]
DeviceName = Annotated[str, typer.Argument(metavar="DEVICE", help="Its name or id.")]
OneService = Annotated[str | None, typer.Option("--service", "-s", help="Only this service of the app.")]
OneDevice = Annotated[str | None, typer.Option("--device", "-d", help="On this device: its name or id.")]
OneFleet = Annotated[str | None, typer.Option("--fleet", "-f", help="On every device of this fleet.")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the answer of each device.")]
WaitFor = Annotated[
    str, typer.Option("--wait-for", help="How long a device that is away may take to be there: 60s, 2h, 3d.")
]
SHORT = "60s"


@dataclass(frozen=True)
class Asked:
    """What to send where, and how to go on."""

    verb: str
    app: str | None = None
    service: str | None = None
    device: str | None = None
    fleet: str | None = None
    wait: bool = True
    wait_for: str = SHORT
    as_json: bool = False


def app_restart(
    context: typer.Context,
    app: AppName,
    *,
    service: OneService = None,
    device: OneDevice = None,
    fleet: OneFleet = None,
    wait: Wait = True,
    wait_for: WaitFor = SHORT,
    as_json: AsJson = False,
) -> None:
    """Restart an app, or one of its services, on a device or on all of a fleet."""
    _ask(context, Asked("app.restart", app, service, device, fleet, wait, wait_for, as_json))


def app_stop(
    context: typer.Context,
    app: AppName,
    *,
    service: OneService = None,
    device: OneDevice = None,
    fleet: OneFleet = None,
    wait: Wait = True,
    wait_for: WaitFor = SHORT,
    as_json: AsJson = False,
) -> None:
    """Stop an app, or one of its services, until it is started or another release comes."""
    _ask(context, Asked("app.stop", app, service, device, fleet, wait, wait_for, as_json))


def app_start(
    context: typer.Context,
    app: AppName,
    *,
    service: OneService = None,
    device: OneDevice = None,
    fleet: OneFleet = None,
    wait: Wait = True,
    wait_for: WaitFor = SHORT,
    as_json: AsJson = False,
) -> None:
    """Start an app, or one of its services, that was stopped."""
    _ask(context, Asked("app.start", app, service, device, fleet, wait, wait_for, as_json))


def app_unlock(
    context: typer.Context,
    app: AppName,
    *,
    device: OneDevice = None,
    fleet: OneFleet = None,
    wait: Wait = True,
    wait_for: WaitFor = SHORT,
    as_json: AsJson = False,
) -> None:
    """Go on with an update although the app holds its lock."""
    _ask(context, Asked("app.unlock", app, None, device, fleet, wait, wait_for, as_json))


def device_resync(
    context: typer.Context,
    device: DeviceName,
    *,
    wait: Wait = True,
    wait_for: WaitFor = SHORT,
    as_json: AsJson = False,
) -> None:
    """Have a device look at everything again, and try at once what is backing off."""
    _ask(context, Asked("device.resync", None, None, device, None, wait, wait_for, as_json))


def device_prune(
    context: typer.Context,
    device: DeviceName,
    *,
    wait: Wait = True,
    wait_for: WaitFor = SHORT,
    as_json: AsJson = False,
) -> None:
    """Have a device remove images that neither its current nor its previous releases need. Never volumes."""
    _ask(context, Asked("device.prune", None, None, device, None, wait, wait_for, as_json))


def device_unlock(
    context: typer.Context,
    device: DeviceName,
    app: AppName,
    *,
    wait: Wait = True,
    wait_for: WaitFor = SHORT,
    as_json: AsJson = False,
) -> None:
    """Go on with an update of an app on one device although the app holds its lock."""
    _ask(context, Asked("app.unlock", app, None, device, None, wait, wait_for, as_json))


def list_commands(
    context: typer.Context,
    *,
    device: Annotated[str | None, typer.Option("--device", "-d", help="Only for this device.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="How many of the newest.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List the newest commands and what became of them."""
    from cloud.cli import answers
    from cloud.cli.command_text import command_rows
    from cloud.cli.connect import connected

    with connected(context) as client:
        answer = client.get("/v1/commands", answers.Commands, device=device, limit=limit)
    if as_json:
        say_json(answer.plain())
    else:
        headers = ("COMMAND", "DEVICE", "WHAT", "STATE", "ASKED", "BY", "MESSAGE")
        say(*table(headers, command_rows(answer.commands)))


def show_command(
    context: typer.Context,
    command: Annotated[str, typer.Argument(help="The command's id.")],
    as_json: AsJson = False,
) -> None:
    """Show one command: what was asked, when it went out, and what became of it."""
    from cloud.cli import answers
    from cloud.cli.command_text import command_lines
    from cloud.cli.connect import connected

    with connected(context) as client:
        answer = client.get(f"/v1/commands/{quote(command, safe='')}", answers.Command)
    if as_json:
        say_json(answer.plain())
    else:
        say(*command_lines(answer, around(context).clock.wall_ms()))


def _ask(context: typer.Context, asked: Asked) -> None:
    """Send the command; with `wait` stay until each device has answered or its time is over."""
    from cloud.cli import answers
    from cloud.cli.connect import connected
    from cloud.cli.place import path_of

    wait_for_s = seconds_of(asked.wait_for)
    if wait_for_s < 1:
        raise RequestRefused("bad_duration", "no device answers in no time", hint="write --wait-for 60s")
    body = {"verb": asked.verb, "app": asked.app, "service": asked.service, "wait_for_s": wait_for_s}
    with connected(context) as client:
        path = path_of(client, asked.app, device=asked.device, fleet=asked.fleet)
        ordered = client.post(path, answers.Commands, body)
    if asked.wait and ordered.commands:
        _stay(context, ordered, as_json=asked.as_json)
    if asked.as_json:
        say_json(ordered.plain())
        return
    for command in ordered.commands:
        say(command.command)
    count = len(ordered.commands)
    note(
        f"{count} command{'' if count == 1 else 's'} sent; see: skerry command list" if count else "no device is there"
    )


def _stay(context: typer.Context, ordered: object, *, as_json: bool) -> NoReturn:
    """Show how the commands of a request end; exit with the code that says how."""
    from cloud.cli import answers
    from cloud.cli.answering import wait_for_answers
    from cloud.cli.command_text import outcome
    from cloud.cli.connect import connected

    assert isinstance(ordered, answers.Commands)
    here = around(context)
    try:
        with connected(context) as client:
            ended = wait_for_answers(client, ordered, clock=here.clock, pause=here.pause, tell=note)
    except KeyboardInterrupt:
        note("not waited for any longer; what was asked for stays asked for: skerry command list")
        raise
    code, lines = outcome(ended.commands)
    if as_json:
        say_json(ended.plain())
    elif code == exits.OK:
        say(*lines)
    else:
        for line in lines:
            note(f"skerry: {line}")
    raise typer.Exit(code)
