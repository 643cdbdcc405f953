"""The command `skerry-cloud`: init, serve, restore. Errors are one line and a non-zero status."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import secrets
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from broker.clock import SystemClock
from broker.errors import Refused, SkerryError
from cloud.config import LOOPBACK, Folder, Ports, database_of, settle

app = typer.Typer(
    help="The cloud side of Skerry: API, broker, registry and database in one process.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
State = Annotated[Path, typer.Option("--state", help="The folder that holds everything; keep it safe.")]


@app.command()
def init(
    *,
    state: State,
    org: Annotated[str, typer.Option(help="The first organisation.")] = "main",
    user: Annotated[str, typer.Option(help="The first user, an administrator.")] = "admin",
    password_file: Annotated[
        Path | None, typer.Option(help="Its first line is the password; without it one is made and shown.")
    ] = None,
    database: Annotated[
        str, typer.Option(help="postgresql://user:password@host:port/name; without it a file of SQLite is made.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Make the state folder. Running it again changes nothing."""
    from cloud import init as making

    with _one_line_errors(as_json=as_json):
        folder = Folder(state.absolute())
        made_password = "" if password_file or making.exists(folder) else secrets.token_urlsafe(12)
        password = _read_password(password_file) if password_file else made_password or secrets.token_hex(16)
        made = making.init(
            folder, org=org, user=user, password=password, now_ms=SystemClock().wall_ms(), database_url=database
        )
        if as_json:
            facts = {"created": made.created, "org": made.org, "user": user, "ca": made.ca_hash}
            shown = {"password": made_password} if made.created and made_password else {}
            typer.echo(json.dumps({"state": str(folder.root)} | facts | shown))
            return
        typer.echo(f"{'made' if made.created else 'exists already:'} {folder.root}")
        if made.created:
            typer.echo(f"organisation {org} ({made.org}), user {user}")
        if made.created and made_password:
            typer.echo(f"password {made_password}")
        typer.echo(f"ca {made.ca_hash}")


@app.command()
def serve(
    *,
    state: State,
    host: Annotated[str, typer.Option(help="The address to listen on, as devices and people reach it.")] = LOOPBACK,
    api_port: Annotated[int, typer.Option(help="0: the one of the last time, or a free one.")] = 0,
    broker_port: Annotated[int, typer.Option(help="0: the one of the last time, or a free one.")] = 0,
    registry_port: Annotated[int, typer.Option(help="0: the one of the last time, or a free one.")] = 0,
    keepalive: Annotated[int, typer.Option(help="Seconds between two beats of a device.")] = 300,
    ready_file: Annotated[Path | None, typer.Option(help="Written as JSON once everything is up.")] = None,
) -> None:
    """Serve until SIGTERM or SIGINT."""
    from cloud import init as making
    from cloud import ready
    from cloud.serve import serve as run

    _log_to_stderr()
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stopping.set())
    with _one_line_errors():
        folder = Folder(state.absolute())
        if not making.exists(folder):
            raise Refused("not_initialised", f"{folder.root} holds no cloud: run `skerry-cloud init` first")
        with _only_one(folder):
            asked = Ports(api=api_port, broker=broker_port, registry=registry_port)
            settings = settle(folder, host=host, asked=asked, keepalive_s=keepalive)
            if ready_file is not None:
                ready_file.unlink(missing_ok=True)

            def on_ready(ready_now: ready.Ready) -> None:
                logging.getLogger("skerry-cloud").info("ready: %s", ready_now.api)
                if ready_file is not None:
                    ready.write(ready_file.absolute(), ready_now)

            run(settings, stopping=stopping, on_ready=on_ready)


@app.command()
def restore(*, state: State, as_json: Json = False) -> None:
    """Renew the store's id, after a database was put back from a backup: devices then send again what they keep."""
    from cloud import incarnation
    from cloud import init as making
    from cloud.store.database import Database
    from cloud.store.migrate import migrate

    with _one_line_errors(as_json=as_json):
        folder = Folder(state.absolute())
        if not making.exists(folder):
            raise Refused("not_initialised", f"{folder.root} holds no cloud: run `skerry-cloud init` first")
        with _only_one(folder):
            database = Database(database_of(folder))
            migrate(database)
            store = incarnation.renew(database, folder.incarnation)
            typer.echo(json.dumps({"store": store}) if as_json else f"store {store}")
            database.close()


def main() -> None:
    """Run the command line."""
    app()


@contextmanager
def _one_line_errors(*, as_json: bool = False) -> Iterator[None]:
    try:
        yield
    except SkerryError as error:
        if as_json:
            reason = error.reason if isinstance(error, Refused) else "unavailable"
            typer.echo(json.dumps({"error": {"reason": reason, "message": str(error)}}))
        lines = str(error).splitlines()
        typer.echo(f"skerry-cloud: {lines[0]}{' .. ' + lines[-1] if len(lines) > 1 else ''}", err=True)
        raise typer.Exit(1) from error


@contextmanager
def _only_one(folder: Folder) -> Iterator[None]:
    """Hold the state folder: two servers on one database would answer with two truths."""
    descriptor = os.open(folder.lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Refused("in_use", f"another skerry-cloud uses {folder.root}") from error
        yield
    finally:
        os.close(descriptor)


def _read_password(path: Path) -> str:
    try:
        return path.read_text().splitlines()[0]
    except (OSError, IndexError, UnicodeDecodeError) as error:
        raise Refused("bad_password", f"cannot read a password from {path}: {error}") from error


def _log_to_stderr() -> None:
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname).1s %(name)s: %(message)s"
    )
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)  # what fails in a request is logged where it is answered
    logging.getLogger("alembic").setLevel(logging.WARNING)


if __name__ == "__main__":
    main()
