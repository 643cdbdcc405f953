"""`skerry bundle`: what no link carries, as files: desired states and images to devices, statuses back."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from cloud.cli.errors import RequestRefused
from cloud.cli.render import note, say, say_json
from cloud.cli.surroundings import AsJson, around


def create(
    context: typer.Context,
    what: Annotated[
        str, typer.Argument(metavar="APP@RELEASE|DEPLOYMENT", help="A deployed release: hello, hello@1.2, x4k....")
    ],
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")],
    fleet: Annotated[str | None, typer.Option("--fleet", "-f", help="Only for the devices of a fleet.")] = None,
    device: Annotated[str | None, typer.Option("--device", "-d", help="Only for one device.")] = None,
    delta: Annotated[
        bool, typer.Option("--delta", help="Leave out the layers that every device has, by its last report.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write the desired state and the images of devices into a file, for `skerry-device apply`."""
    from cloud.cli import answers, credentials
    from cloud.cli.blobs import Registry
    from cloud.cli.bundling import write
    from cloud.cli.connect import connected

    here = around(context)
    with connected(context) as client:

        def token(repository: str) -> str:
            body = {"repositories": [repository], "actions": ["pull"]}
            return client.post("/v1/registry/token", answers.RegistryToken, body).token

        bundle = client.get("/v1/bundle", answers.Bundle, **asked(what), fleet=fleet, device=device)
        registry = Registry(
            client.get("/v1/me", answers.Me).registry,
            ca=credentials.read(here.home, here.login).ca,
            token=token,
            pause=here.pause,
            transport=here.transport,
        )
        try:
            size = write(output, bundle, registry, delta=delta, clock=here.clock)
        finally:
            registry.close()
    names = [one.name or one.device for one in bundle.devices]
    if as_json:
        say_json({"file": str(output), "bytes": size, "release": bundle.release, "devices": names})
        return
    say(f"{output}: {size} bytes for {len(names)} device{'' if len(names) == 1 else 's'} ({', '.join(names[:5])})")
    note("on a device: skerry-device apply FILE")


def import_status(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="What `skerry-device export-status` has written.")],
    as_json: AsJson = False,
) -> None:
    """Take the statuses that devices have written into a file; each is believed by its own proof."""
    import base64

    from broker.bundle import chunks_of, read
    from broker.channels import STATUS
    from cloud.cli import answers
    from cloud.cli.connect import connected

    found = []
    try:
        with file.open("rb") as data, connected(context) as client:

            def read_at(offset: int, size: int) -> bytes:
                data.seek(offset)
                return data.read(size)

            contents = read(read_at, file.stat().st_size)
            for (device, channel), member in contents.envelopes.items():
                if channel != STATUS.name:
                    continue
                sealed = b"".join(chunks_of(read_at, member))
                body = {"status": base64.b64encode(sealed).decode()}
                found.append(client.post(f"/v1/devices/{quote(device, safe='')}/status", answers.Carried, body))
    except OSError as error:
        raise RequestRefused("no_bundle", f"cannot read {file}: {error.strerror}") from error
    if not found:
        raise RequestRefused("no_status", f"{file} has no status in it", hint="skerry-device export-status FILE")
    if as_json:
        say_json({"statuses": [one.plain() for one in found]})
        return
    for one in found:
        generation = "no desired state yet" if one.accepted is None else f"generation {one.accepted}"
        say(f"{one.device}: {generation}" + ("" if one.news else "; older than what is known, left alone"))


def asked(what: str) -> dict[str, str]:
    """Return the query that `APP`, `APP@RELEASE` or a deployment's id stands for."""
    app, at, release = what.partition("@")
    if not at and re.fullmatch("x[a-z2-7]{11}", what):
        return {"deployment": what}
    return {"app": app} | ({"release": release} if release else {})
