"""`skerry device` and `skerry status`: what devices are there, and what each of them says about itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated
from urllib.parse import quote

import typer

from cloud.cli.durations import ago, seconds_of
from cloud.cli.errors import RequestRefused
from cloud.cli.render import moment, note, say, say_json, table
from cloud.cli.surroundings import AsJson, around

TTL_S_MIN = 1


def list_devices(context: typer.Context, as_json: AsJson = False) -> None:
    """List the devices."""
    from cloud.cli import answers
    from cloud.cli.connect import connected
    from cloud.cli.device_text import device_rows

    with connected(context) as client:
        answer = client.get("/v1/devices", answers.Devices)
        waiting = client.get("/v1/enrollments", answers.AllPending).pending
    if as_json:
        say_json(answer.plain() | {"pending": [each.plain() for each in waiting]})
        return
    say(*table(("DEVICE", "FLEET", "ONLINE", "WORKER", "ARCH", "ID"), device_rows(answer.devices)))
    if waiting:
        now_ms = around(context).clock.wall_ms()
        rows = [
            (w.request, w.name, w.fleet, w.serial, w.host.get("hostname"), ago(w.created_ms, now_ms)) for w in waiting
        ]
        say("", *table(("PENDING", "NAME", "FLEET", "SERIAL", "HOST", "ASKED"), rows))


def show(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Its name or id.")],
    as_json: AsJson = False,
) -> None:
    """Show all that is known about one device."""
    from cloud.cli import answers
    from cloud.cli.connect import connected
    from cloud.cli.device_text import device_lines

    with connected(context) as client:
        device = client.get(f"/v1/devices/{quote(name, safe='')}", answers.Device)
    if as_json:
        say_json(device.plain())
    else:
        say(*device_lines(device, around(context).clock.wall_ms()))


def status(context: typer.Context, as_json: AsJson = False) -> None:
    """Show each device: whether it can be reached, what it should run, and what it runs."""
    from cloud.cli import answers
    from cloud.cli.connect import connected
    from cloud.cli.device_text import status_lines

    with connected(context) as client:
        answer = client.get("/v1/devices", answers.Devices)
    if as_json:
        say_json(answer.plain())
    else:
        say(*status_lines(answer.devices, around(context).clock.wall_ms()))


Request = Annotated[str, typer.Argument(help="What `skerry device list` shows as pending.")]


def approve(
    context: typer.Context,
    request: Request,
    name: Annotated[str | None, typer.Option(help="What people will call it, in place of what it asks for.")] = None,
    replaces: Annotated[
        str | None, typer.Option(help="The device whose place it takes, with its id, name, fleet and samples.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Let a machine that asked become a device."""
    _decide(context, request, "approve", {"name": name, "replaces": replaces}, as_json=as_json)


def reject(context: typer.Context, request: Request, as_json: AsJson = False) -> None:
    """Refuse a machine that asked to become a device."""
    _decide(context, request, "reject", {}, as_json=as_json)


def _decide(context: typer.Context, request: str, verb: str, body: Mapping[str, str | None], *, as_json: bool) -> None:
    from cloud.cli import answers
    from cloud.cli.connect import connected

    with connected(context) as client:
        decided = client.post(f"/v1/enrollments/{quote(request, safe='')}/{verb}", answers.Pending, body)
    if as_json:
        say_json(decided.plain())
    else:
        say(f"{decided.state} {decided.name or decided.request}")


def revoke(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Its name or id.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """End a device for good: its certificate, its session, its access to images. Its apps go on running."""
    from cloud.cli import answers
    from cloud.cli.connect import connected

    if not yes and not as_json:
        typer.confirm(f"Revoke {name}? It has to be enrolled anew to come back", abort=True, err=True)
    with connected(context) as client:
        device = client.get(f"/v1/devices/{quote(name, safe='')}", answers.Device)
        client.call("DELETE", f"/v1/devices/{device.device}")
    if as_json:
        say_json({"device": device.device, "name": device.name, "revoked": True})
    else:
        say(f"revoked {device.name} ({device.device})")


def retire(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Its name or id.")],
    wipe: Annotated[
        str, typer.Option(help="`secrets`: its apps and what they were told; `all`: volumes and images too.")
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Have a device remove its apps and wipe itself; it is revoked when it says that it has, be that in weeks."""
    from cloud.cli import answers
    from cloud.cli.connect import connected

    if not yes and not as_json:
        what = "delete all its apps, volumes and images" if wipe == "all" else "delete its apps and their secrets"
        typer.confirm(f"Have {name} {what}, and revoke it then?", abort=True, err=True)
    with connected(context) as client:
        device = client.post(f"/v1/devices/{quote(name, safe='')}/retire", answers.Device, {"wipe": wipe})
    if as_json:
        say_json(device.plain())
    else:
        state = "is told now" if device.online else "is told when it comes"
        say(f"{device.name} {state}; it is revoked when it has wiped itself: `skerry device list`")


def enroll_token(
    context: typer.Context,
    *,
    fleet: Annotated[str, typer.Option(help="The fleet that the devices join.")] = "default",
    uses: Annotated[int, typer.Option(min=1, help="How many devices may use it.")] = 1,
    ttl: Annotated[str, typer.Option(help="How long it works: 30m, 1h, 7d.")] = "1h",
    auto_approve: Annotated[
        bool | None,
        typer.Option("--auto-approve/--approve", help="Whether who has it is a device at once. By default: one use."),
    ] = None,
    serial: Annotated[
        list[str] | None, typer.Option(help="A machine that needs no approval, by its serial number. Several times.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print a token that makes a machine a device: `skerry-device enroll TOKEN`."""
    from cloud.cli import answers
    from cloud.cli.connect import connected

    ttl_s = seconds_of(ttl)
    if ttl_s < TTL_S_MIN:
        raise RequestRefused("bad_duration", "a token that works for no time is of no use", hint="write --ttl 1h")
    with connected(context) as client:
        body = {"fleet": fleet, "uses": uses, "ttl_s": ttl_s, "auto_approve": auto_approve, "serials": serial or []}
        token = client.post("/v1/enroll-tokens", answers.EnrollToken, body)
    if as_json:
        say_json(token.plain())
        return
    say(token.token)
    until = f" until {moment(token.expires_ms)}" if token.expires_ms else ""
    count = f"{token.uses} device{'s' if token.uses != 1 else ''}"
    note(f"for {count} of fleet {token.fleet or fleet}{until}; on the device:")
    note("  skerry-device enroll TOKEN")
    if token.needs_approval:
        note("each has to be approved then: `skerry device list`, `skerry device approve`")
