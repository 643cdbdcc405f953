"""`skerry-device`: enroll, run, status, plan, apply, export-status, doctor, purge. One line for each error."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from broker.enrollment import EnrollPending
from broker.errors import Refused, SkerryError
from device.config import Identity, Paths, read_identity, read_owner
from device.exits import EXIT_REFUSED, told
from device.ledger import Accepted

app = typer.Typer(
    no_args_is_help=True, add_completion=True, help="The worker of a Skerry device.", pretty_exceptions_enable=False
)
State = Annotated[
    Path,
    typer.Option(
        "--state",
        help="Where everything of this device lies.",
        envvar="SKERRY_DEVICE_STATE",
        resolve_path=True,  # servers that run in folders of their own are given paths below it
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
DEFAULT_STATE = Path("/var/lib/skerry")


class _Waits:
    """Tells that somebody has to approve, and pauses between two times of asking."""

    def __init__(self, *, wait: bool) -> None:
        self._wait = wait
        self._told = False

    def __call__(self, pending: EnrollPending) -> None:
        if not self._wait:
            raise Refused(
                "not_approved",
                f"somebody has to approve this machine: `skerry device approve {pending.request}`; then enroll again",
            )
        if not self._told:
            self._told = True
            message = f"waiting for approval as {pending.request}: `skerry device approve {pending.request}`"
            print(message, file=sys.stderr, flush=True)
        time.sleep(pending.retry_after_s)


@app.command()
def enroll(
    token: Annotated[
        str, typer.Argument(help="The string that `skerry device enroll-token` printed, or - for standard input.")
    ],
    *,
    state: State = DEFAULT_STATE,
    name: Annotated[str | None, typer.Option(help="What people will call this device.")] = None,
    serial: Annotated[
        str | None, typer.Option(help="The machine's serial number, where its firmware does not tell the right one.")
    ] = None,
    wait: Annotated[bool, typer.Option(help="Wait until an operator approves, where the token asks for that.")] = True,
    as_json: Json = False,
) -> None:
    """Make this machine a device: keys are made here, the token is traded for an identity."""
    from device import host
    from device.engine.docker import DockerEngine
    from device.enroll import enroll as enroll_device
    from device.enroll import machine_serial

    paths = Paths(state)
    owner = read_owner(paths.owner)
    text = sys.stdin.read() if token == "-" else token  # noqa: S105 - a file name, not a secret
    engine = DockerEngine(device="none", url=owner.engine)
    machine = host.describe(engine, zone=owner.zone)
    asked = machine_serial() if serial is None else serial
    try:
        identity = enroll_device(text, paths, name=name, host=machine, serial=asked, waits=_Waits(wait=wait))
    except KeyboardInterrupt:
        print("skerry-device: stopped; the same command goes on with the same request", file=sys.stderr)
        raise typer.Exit(130) from None
    if as_json:
        print(json.dumps({"org": identity.org, "device": identity.device, "name": identity.name}))
    else:
        print(f"enrolled as {identity.name} ({identity.device}); start it: skerry-device run --state {state}")


@app.command()
def run(
    state: State = DEFAULT_STATE,
    broker: Annotated[
        list[str] | None, typer.Option(help="host:port to connect to instead of what enrollment gave, e.g. a tunnel.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v")] = False,
) -> None:
    """Run the worker until it is told to end. Apps go on running without it."""
    sys.stdout.flush()
    sys.stderr.flush()
    # This process goes on as the worker: what the command line has loaded would stay in its memory.
    words = [sys.executable, "-m", "device.running", str(state), "verbose" if verbose else "", *(broker or [])]
    os.execv(sys.executable, words)  # noqa: S606 - ourselves


@app.command()
def status(state: State = DEFAULT_STATE, as_json: Json = False) -> None:
    """Tell who this device is and which desired state it has accepted, without asking anybody."""
    paths = Paths(state)
    identity, _ = read_identity(paths)
    held = _held(paths, identity)
    found = {
        "device": identity.device,
        "name": identity.name,
        "org": identity.org,
        "cloud": identity.cloud,
        "accepted": None if held is None else held.generation.model_dump(),
        "apps": [] if held is None else [{"name": s.name, "release": s.release} for s in held.desired.apps],
    }
    if as_json:
        print(json.dumps(found))
        return
    print(f"{identity.name} ({identity.device}) of {identity.org}, cloud {identity.cloud}")
    if held is None:
        print("no desired state accepted yet")
        return
    print(f"accepted generation {held.generation.era}.{held.generation.generation}")
    for section in held.desired.apps:
        print(f"  {section.name}  {section.release}")


def _held(paths: Paths, identity: Identity) -> Accepted | None:
    """Return the accepted desired state as the worker would read it."""
    import base64

    from device.checked_file import CheckedFile
    from device.ledger import Ledger
    from device.trust import Trust

    trust = Trust(CheckedFile(paths.ledger / "trust"), device=identity.ref, root=base64.b64decode(identity.root_key))
    trust.load()
    return Ledger(CheckedFile(paths.ledger / "accepted"), device=identity.ref).load(trust.verifier_for_desired())


@app.command()
def plan(state: State = DEFAULT_STATE, as_json: Json = False) -> None:
    """Say what the worker would do to the engine now, and why. Changes nothing; the worker may be running.

    Update locks and displays are not looked at.
    """
    from dataclasses import asdict

    from broker.clock import SystemClock
    from device.engine.docker import DockerEngine
    from device.preview import preview

    paths = Paths(state)
    identity, _ = read_identity(paths)
    owner = read_owner(paths.owner)
    held = _held(paths, identity)
    if held is None:
        print(json.dumps([]) if as_json else "no desired state accepted yet")
        return
    engine = DockerEngine(device=identity.device, url=owner.engine)
    try:
        found = preview(held.desired, paths=paths, owner=owner, identity=identity, engine=engine, clock=SystemClock())
    finally:
        engine.close()
    if as_json:
        print(json.dumps([asdict(each) for each in found]))
        return
    for each in found:
        print(f"{each.name}  {each.state}" + (f": {each.message}" if each.message else ""))
        lines = [f"fetch {image}" for image in each.fetch] + list(each.plan)
        for text in lines or ["nothing to do"]:
            print(f"  {text}")


@app.command(name="apply")
def apply_bundle(
    file: Annotated[Path, typer.Argument(help="What `skerry bundle create` has written.")],
    state: State = DEFAULT_STATE,
    timeout: Annotated[float, typer.Option(help="How many seconds to wait for the apps.", min=0)] = 900,
    as_json: Json = False,
) -> None:
    """Take a bundle: the desired state in it by the same rules as over the link, and the images. Needs no network.

    With a running worker it waits until the apps are as they are asked; leave the medium in until then.
    """
    from device.applying import apply

    paths = Paths(state)
    identity, _ = read_identity(paths)
    found = apply(file, paths, identity, timeout_s=timeout, tell=_silent if as_json else _say)
    if as_json:
        print(json.dumps(found))
    raise typer.Exit(EXIT_REFUSED if found["state"] == "failed" else 0)


@app.command()
def export_status(
    file: Annotated[Path, typer.Argument(help="Where to write it; `skerry bundle import FILE` reads it.")],
    state: State = DEFAULT_STATE,
    as_json: Json = False,
) -> None:
    """Write what the worker would report to the cloud into a file, with the same proof."""
    from device.applying import export_status as export

    paths = Paths(state)
    identity, _ = read_identity(paths)
    export(file, paths, identity)
    print(json.dumps({"file": str(file)}) if as_json else f"wrote the status of {identity.name} to {file}")


def _say(line: str) -> None:
    print(line, flush=True)


def _silent(_line: str) -> None:
    """Tell nothing: the JSON object at the end says it all."""


@app.command()
def doctor(state: State = DEFAULT_STATE, as_json: Json = False) -> None:
    """Say what this device has, what it lacks, and how to get it. Changes nothing."""
    from device.doctor import findings

    found = list(findings(Paths(state)))
    if as_json:
        print(json.dumps([each.plain() for each in found]))
    else:
        for each in found:
            print(f"{'ok     ' if each.ok else 'missing'}  {each.what:16} {each.message}")
            for detail in each.details:
                print(f"{'':26} {detail}")
    raise typer.Exit(0 if all(each.ok for each in found) else EXIT_REFUSED)


@app.command()
def purge(
    state: State = DEFAULT_STATE,
    volumes: Annotated[
        bool, typer.Option("--volumes", help="Also delete the apps' volumes: their data is gone.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Remove this device's containers, networks and images from the engine (the worker must not be running)."""
    from device.engine.docker import DockerEngine
    from device.images.supply import remove_all

    identity, _ = read_identity(Paths(state))
    owner = read_owner(Paths(state).owner)
    engine = DockerEngine(device=identity.device, url=owner.engine)
    seen = engine.observe()
    what = f"{len(seen.containers)} containers, {len(seen.networks)} networks"
    what += f", {len(seen.volumes)} volumes" if volumes else ""
    if not yes:
        typer.confirm(f"Remove {what} of {identity.name}?", abort=True)
    for container in seen.containers:
        engine.remove(container.id)
    for network in seen.networks:
        engine.remove_network(network)
    images = remove_all(Paths(state), owner.images, engine)
    if volumes:
        for volume in sorted(seen.volumes):
            engine.remove_volume(volume)
    if as_json:
        removed = {"containers": len(seen.containers), "networks": len(seen.networks), "images": images}
        print(json.dumps(removed | {"volumes": len(seen.volumes) if volumes else 0}))
    else:
        print(f"removed {what}, {images} images")


def main() -> NoReturn:
    """Run the command line; every error of ours is one line, and one JSON object where --json was asked for."""
    try:
        app()
    except SkerryError as error:
        reason = error.reason if isinstance(error, Refused) else "unavailable"
        if "--json" in sys.argv:
            print(json.dumps({"error": {"reason": reason, "message": str(error)}}))
        sys.exit(told(error))
    sys.exit(0)


if __name__ == "__main__":
    main()
