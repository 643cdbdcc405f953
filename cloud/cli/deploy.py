"""`skerry deploy`: say what a fleet should run, and watch it get there."""

from __future__ import annotations

import functools
import sys
from typing import Annotated, Any, NoReturn

import typer

from cloud.cli import exits
from cloud.cli.durations import seconds_of
from cloud.cli.errors import RequestRefused
from cloud.cli.render import note, say, say_json, say_now, short, table
from cloud.cli.surroundings import AsJson, around


def deploy(
    context: typer.Context,
    app: Annotated[str, typer.Argument(help="The app's name.")],
    *,
    release: Annotated[str, typer.Option("--release", "-r", help="A digest, a version, or latest.")] = "latest",
    fleet: Annotated[str, typer.Option("--fleet", "-f", help="The fleet that runs it.")] = "default",
    variables: Annotated[
        list[str] | None, typer.Option("--set", help="A variable of the app: KEY=VALUE; may come several times.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Watch the devices until they run it.")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Say what it would do to each device, and do nothing.")] = False,
    timeout: Annotated[str, typer.Option(help="How long to watch: 300, 5m, 1h.")] = "300",
    force: Annotated[
        bool, typer.Option("--force", help="Also where it has failed before, and in spite of the app's lock.")
    ] = False,
    grants: Annotated[
        list[str] | None,
        typer.Option("--grant", help="A row of the device's policy: ROW or ROW=ENTRY; these replace what was granted."),
    ] = None,
    no_grants: Annotated[bool, typer.Option("--no-grants", help="Take back what was granted.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a release the desired state of a fleet. Devices that are away follow when they come."""
    from cloud.cli import answers
    from cloud.cli.connect import connected
    from cloud.cli.granting import granted

    timeout_s = seconds_of(timeout)
    body: dict[str, Any] = {
        "app": app,
        "release": release,
        "fleet": fleet,
        "variables": variables_of(variables or []),
        "force": force,
    }
    if grants or no_grants:
        body["grants"] = {} if no_grants else granted(grants or ())
    if plan:
        _plan(context, body, as_json=as_json)
        return
    with connected(context) as client:
        deployed = client.post("/v1/deployments", answers.Deployed, body)
    if not as_json:
        count = f"{len(deployed.devices)} device{'' if len(deployed.devices) == 1 else 's'}"
        say_now(f"deployment {deployed.deployment}: {app} {short(deployed.release)} to {count} of fleet {fleet}")
    if wait:
        _watch(context, deployed.deployment, deployed.instance, timeout_s=timeout_s, as_json=as_json)
    elif as_json:
        say_json(deployed.plain())


def _plan(context: typer.Context, body: dict[str, Any], *, as_json: bool) -> None:
    from cloud.cli import answers
    from cloud.cli.connect import connected
    from cloud.cli.plan_text import HEADERS, plan_row

    with connected(context) as client:
        planned = client.post("/v1/deployments/plan", answers.Planned, body)
    if as_json:
        say_json(planned.plain())
        return
    say(*table(HEADERS, [plan_row(device) for device in planned.devices]))
    note(f"{planned.app} {short(planned.release)} to fleet {planned.fleet}: nothing was changed")


def _watch(context: typer.Context, deployment: str, instance: str, *, timeout_s: float, as_json: bool) -> NoReturn:
    """Show the devices of a deployment until it is decided; exit with the code that says how."""
    from cloud.cli.connect import connected
    from cloud.cli.ending import OUTCOMES, ending
    from cloud.cli.wait import wait

    here = around(context)
    wait_for = functools.partial(wait, deployment=deployment, timeout_s=timeout_s, clock=here.clock, pause=here.pause)
    try:
        with connected(context) as client:
            if as_json:
                waited = wait_for(client, tell=_silent)
            elif sys.stdout.isatty() and sys.stderr.isatty():
                from cloud.cli.bars import bars

                with bars(client, instance) as shown:
                    waited = wait_for(client, tell=shown.tell, show=shown.show)
            else:
                waited = wait_for(client, tell=say_now)
    except KeyboardInterrupt:
        note("not watched any longer; the deployment itself goes on")
        raise
    code, line = ending(waited)
    if as_json:
        say_json({"outcome": OUTCOMES[code], "message": line, **waited.deployment.plain()})
    elif code == exits.OK:
        say(line)
    else:
        note(f"skerry: {line}")
    raise typer.Exit(code)


def _silent(_line: str) -> None:
    """Tell nothing: the JSON document at the end says it all."""


def variables_of(settings: list[str]) -> dict[str, Any]:
    """Return the variables that `KEY=VALUE` texts set; refuse other texts, and a key set twice."""
    values: dict[str, Any] = {}
    for setting in settings:
        key, separator, value = setting.partition("=")
        if not separator or not key:
            raise RequestRefused(
                "bad_variable", f"--set {setting[:60]!r} is not KEY=VALUE", hint="write --set PORT=8080"
            )
        if key in values:
            raise RequestRefused("bad_variable", f"--set {key} comes twice", hint="keep one of them")
        values[key] = value
    return values
