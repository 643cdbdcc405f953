"""`skerry secret`: values that go sealed to devices. They are typed, piped or read from a file; never an argument."""

from __future__ import annotations

import base64
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from broker.errors import Refused
from cloud.cli.render import moment, note, say, say_json, table
from cloud.cli.surroundings import AsJson

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cloud.cli import answers
    from cloud.cli.client import Client

App = Annotated[str, typer.Argument(help="The app's name.")]
Name = Annotated[str, typer.Argument(help="The secret's name, as the Compose file has it.")]
Fleet = Annotated[str | None, typer.Option("--fleet", help="For this fleet alone, before what all others get.")]


def set_secret(
    context: typer.Context,
    app: App,
    name: Name,
    *,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="Take the bytes of this file as they are; `-` for stdin.")
    ] = None,
    fleet: Fleet = None,
    as_json: AsJson = False,
) -> None:
    """Give a secret its value: typed where this is a terminal, else read from stdin, without the newline at its end.

    Devices that run the app get it at once, and the services that use it are made anew.
    """
    from cloud.cli import answers
    from cloud.cli.connect import connected

    value = _value(name, file)
    with connected(context) as client:
        known = client.get(f"/v1/apps/{quote(app, safe='')}", answers.App)
        made = _put(client, known, {name: value}, {"fleet": fleet} if fleet else {})[name]
    if as_json:
        say_json(made.plain())
    elif made.changed:
        note(f"secret {name} of {app} is version {made.version} now")
    else:
        note(f"secret {name} of {app} has this value already, as version {made.version}")


def list_secrets(context: typer.Context, app: App, *, as_json: AsJson = False) -> None:
    """List what is set, never a value."""
    from cloud.cli import answers
    from cloud.cli.connect import connected

    with connected(context) as client:
        found = client.get(f"/v1/apps/{quote(app, safe='')}/secrets", answers.Secrets)
    if as_json:
        say_json(found.plain())
        return
    rows = [(s.name, s.version, _for(s), moment(s.created_ms), s.by) for s in found.secrets]
    say(*table(("SECRET", "VERSION", "FOR", "SET", "BY"), rows))


def _for(row: answers.SecretRow) -> str:
    return "releases" if row.pinned else row.fleet or "all"


def remove(context: typer.Context, app: App, name: Name, *, fleet: Fleet = None, as_json: AsJson = False) -> None:
    """Erase all versions of a secret. Refused while a deployed release needs it."""
    from cloud.cli.connect import connected

    with connected(context) as client:
        client.call("DELETE", f"/v1/apps/{quote(app, safe='')}/secrets/{quote(name, safe='')}", fleet=fleet)
    if as_json:
        say_json({"app": app, "name": name, "fleet": fleet, "erased": True})
    else:
        note(f"secret {name} of {app} is erased")


def pin(client: Client, app: answers.App, values: Mapping[str, bytes]) -> dict[str, int]:
    """Set secrets for a release alone, sealed to the cloud's vault; return their versions, for it to name."""
    return {name: one.version for name, one in _put(client, app, values, {"pinned": True}).items()}


def _put(
    client: Client, app: answers.App, values: Mapping[str, bytes], more: Mapping[str, Any]
) -> dict[str, answers.SecretSet]:
    from broker.appspec_files import SECRET_BYTES_MAX
    from broker.sealing import about_secret, seal
    from cloud.cli import answers

    if not values:
        return {}
    key = base64.b64decode(client.get("/v1/secrets/key", answers.VaultKey).key)
    made = {}
    for name, value in values.items():
        if len(value) > SECRET_BYTES_MAX:
            raise Refused("too_large", f"secret {name} is {len(value)} bytes; {SECRET_BYTES_MAX} may travel")
        box = base64.b64encode(seal(key, about_secret(app.app, name), value)).decode()
        path = f"/v1/apps/{quote(app.name, safe='')}/secrets/{quote(name, safe='')}"
        made[name] = client.put(path, answers.SecretSet, {"sealed": box, **more})
    return made


def _value(name: str, file: Path | None) -> bytes:
    if file is not None and str(file) != "-":
        try:
            return file.read_bytes()
        except OSError as error:
            raise Refused("no_file", f"cannot read {file}: {error.strerror}") from error
    if file is None and sys.stdin.isatty():
        return str(typer.prompt(f"value of {name}", hide_input=True, err=True)).encode()
    data = sys.stdin.buffer.read()
    return data if file is not None else data.removesuffix(b"\n").removesuffix(b"\r")
