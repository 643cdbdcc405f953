"""All commands of `skerry` put together."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib import metadata
from typing import Annotated

import typer
from typer.exceptions import TyperException

from broker.errors import Refused
from cloud.cli import (
    apps,
    bundles,
    commanding,
    deploy,
    devices,
    exits,
    export,
    fleets,
    links,
    login,
    logs,
    push,
    secrets,
    telemetry,
    tokens,
    watch,
    why,
)
from cloud.cli.credentials import DEFAULT_NAME
from cloud.cli.edge import PROGRAM, exit_code, told
from cloud.cli.plugins import join
from cloud.cli.surroundings import Surroundings, around

Commands = Mapping[str, Callable[..., int | None]]


def command_line() -> typer.Typer:
    """Return the whole command line, with what other installed halves of Skerry add."""
    root = _group(
        "Runs Docker Compose apps on fleets of devices that are reachable only now and then.",
        {
            "login": login.login,
            "logout": login.logout,
            "whoami": login.whoami,
            "status": devices.status,
            "deploy": deploy.deploy,
            "why": why.why,
            "watch": watch.watch,
            "logs": logs.logs,
            "audit": tokens.audit,
        },
    )
    root.callback()(_root)
    app: Commands = {
        "config": apps.config,
        "check": apps.check,
        "schema": apps.schema,
        "push": push.push,
        "list": apps.list_apps,
        "show": apps.show,
        "delete": apps.delete,
        "restart": commanding.app_restart,
        "stop": commanding.app_stop,
        "start": commanding.app_start,
        "unlock": commanding.app_unlock,
    }
    device: Commands = {
        "list": devices.list_devices,
        "show": devices.show,
        "enroll-token": devices.enroll_token,
        "link": links.device_link,
        "approve": devices.approve,
        "reject": devices.reject,
        "retire": devices.retire,
        "revoke": devices.revoke,
        "resync": commanding.device_resync,
        "prune": commanding.device_prune,
        "unlock": commanding.device_unlock,
    }
    command: Commands = {"list": commanding.list_commands, "show": commanding.show_command}
    fleet: Commands = {"list": fleets.list_fleets, "create": fleets.create, "link": links.fleet_link}
    root.add_typer(_group("Apps: Compose projects that are pushed as releases.", app), name="app")
    root.add_typer(_group("Devices: what is there, and how a machine becomes one.", device), name="device")
    root.add_typer(_group("Commands: what was asked of devices at once.", command), name="command")
    samples = _group(
        "Samples of devices: the newest of them, all of them as a file, or the audit of all.",
        {"audit": telemetry.audit, "export": export.export, "keep": telemetry.keep},
        needs_one=False,
    )
    samples.callback(invoke_without_command=True)(telemetry.telemetry)
    root.add_typer(samples, name="telemetry")
    token: Commands = {"create": tokens.create, "list": tokens.list_tokens, "revoke": tokens.revoke}
    root.add_typer(_group("Tokens for programs: what they may do, and how long.", token), name="token")
    secret: Commands = {"set": secrets.set_secret, "list": secrets.list_secrets, "remove": secrets.remove}
    root.add_typer(_group("Secrets of apps: values that only their devices read.", secret), name="secret")
    bundle: Commands = {"create": bundles.create, "import": bundles.import_status}
    root.add_typer(_group("Bundles: what no link carries, as files.", bundle), name="bundle")
    root.add_typer(_group("Fleets: groups of devices that are deployed to as one.", fleet), name="fleet")
    join(root, metadata.entry_points(group="skerry.commands"))
    return root


def _group(about: str, commands: Commands, *, needs_one: bool = True) -> typer.Typer:
    # Help is plain text: it starts fast and reads the same in a pipe.
    group = typer.Typer(help=about, no_args_is_help=needs_one, rich_markup_mode=None, pretty_exceptions_enable=False)
    for name, command in commands.items():
        group.command(name)(command)
    return group


def _version(asked: bool) -> None:
    if asked:
        print(metadata.version(PROGRAM))
        raise typer.Exit


def _root(
    context: typer.Context,
    login_name: Annotated[
        str, typer.Option("--login", envvar="SKERRY_LOGIN", help="Which of several logins to use.")
    ] = DEFAULT_NAME,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    context.obj = replace(around(context), login=login_name)


def run(arguments: Sequence[str], surroundings: Surroundings) -> int:
    """Run one command line; return its exit code. No error gets out but bugs."""
    as_json = "--json" in arguments
    return exit_code(lambda: _run(arguments, surroundings, as_json=as_json), as_json=as_json)


def _run(arguments: Sequence[str], surroundings: Surroundings, *, as_json: bool) -> int:
    try:
        code = command_line()(args=list(arguments), prog_name=PROGRAM, standalone_mode=False, obj=surroundings)
        return code if isinstance(code, int) else exits.OK
    except TyperException as error:
        message = error.format_message()
        if message.startswith("Usage:"):  # a group without a command: the message is its whole help
            print(message, file=sys.stderr)
        else:
            told(UsageProblem("usage", message), as_json=as_json)
        return exits.USAGE
    except typer.Abort:
        raise KeyboardInterrupt from None
    except SystemExit as ended:
        if isinstance(ended.__context__, BrokenPipeError):  # typer saw the same first
            return exits.OK
        raise


class UsageProblem(Refused):
    """The command line itself is wrong."""

    hint = "see --help"
