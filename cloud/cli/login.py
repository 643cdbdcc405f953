"""`skerry login`, `logout` and `whoami`: the cloud's authority is confirmed once, by its hash, and pinned."""

from __future__ import annotations

import getpass
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from broker.errors import Passing, Refused
from cloud.cli import credentials
from cloud.cli.errors import RequestRefused
from cloud.cli.render import moment, note, say, say_json
from cloud.cli.surroundings import AsJson, Surroundings, around

TOKEN_VARIABLE = "SKERRY_TOKEN"  # noqa: S105 - likewise
PASSWORD_VARIABLE = "SKERRY_PASSWORD"  # noqa: S105 - the name of a variable, not a secret


def login(
    context: typer.Context,
    url: Annotated[str, typer.Argument(help="The cloud's address: https://HOST:PORT.")],
    *,
    user: Annotated[str | None, typer.Option("--user", "-u", help="Your name there.")] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(help=f"A file with a token, in place of name and password; else ${TOKEN_VARIABLE}."),
    ] = None,
    password_file: Annotated[
        Path | None, typer.Option(help=f"A file with the password; else ${PASSWORD_VARIABLE}, else you are asked.")
    ] = None,
    ca_hash: Annotated[
        str | None, typer.Option(help="The hash of the cloud's authority (sha256:..), as its owner tells it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Log in to a cloud; the login is kept for the commands that follow."""
    from cloud.cli import answers
    from cloud.cli.client import Client

    here = around(context)
    url = checked_url(url)
    authority = _authority(url, ca_hash, here)
    token = _token(user, token_file, here.variables)
    password = "" if token is not None else _password(user or "", password_file, here.variables)
    with Client(url, ca=authority, token=token or "", transport=here.transport) as client:
        if token is not None:
            me = client.get("/v1/me", answers.Me)
            answer = answers.Login(
                token=token, org=me.org, org_name=me.org_name, user=me.user, expires_ms=me.expires_ms
            )
        else:
            body = {"user": user, "password": password, "name": f"skerry on {platform.node()}"[:63]}
            answer = client.post("/v1/login", answers.Login, body)
    kept = credentials.Login(
        url=url,
        ca=authority,
        token=answer.token,
        user=answer.user or user or "",
        org=answer.org,
        org_name=answer.org_name,
        expires_ms=answer.expires_ms,
    )
    credentials.keep(here.home, here.login, kept)
    if as_json:
        shown = {"url": url, "user": kept.user, "org": kept.org, "org_name": kept.org_name}
        say_json({**shown, "expires_ms": kept.expires_ms})
        return
    until = f", until {moment(kept.expires_ms)}" if kept.expires_ms else ""
    say(f"logged in to {url} as {kept.user} of {kept.org_name or kept.org}{until}")


def logout(context: typer.Context, as_json: AsJson = False) -> None:
    """End the login, here and in the cloud."""
    from cloud.cli.connect import connected

    here = around(context)
    told = True
    try:
        with connected(context) as client:
            client.call("POST", "/v1/logout")
    except Refused as error:
        if not isinstance(error, RequestRefused) or error.status != 401:
            raise
    except Passing as error:
        told = False
        note(f"the cloud could not be told, so the token lives there until it expires: {error}")
    credentials.forget(here.home, here.login)
    if as_json:
        say_json({"login": here.login, "told": told})
    else:
        say("logged out")


def whoami(context: typer.Context, as_json: AsJson = False) -> None:
    """Say who you are to the cloud you are logged in to."""
    from cloud.cli import answers
    from cloud.cli.connect import connected

    with connected(context) as client:
        me = client.get("/v1/me", answers.Me)
    if as_json:
        say_json({"url": client.url, **me.plain()})
    else:
        say(f"{me.user} of {me.org_name or me.org} ({me.org}) at {client.url}, may: {', '.join(me.scopes) or '-'}")


def checked_url(text: str) -> str:
    """Return a cloud's address as `https://host:port`; refuse one that is none, or not encrypted."""
    whole = text if "://" in text else f"https://{text}"
    try:
        parts = urlsplit(whole)
        port = parts.port
    except ValueError as error:
        raise RequestRefused("bad_url", f"{text[:200]!r} is not an address", hint="write https://HOST:PORT") from error
    if parts.scheme != "https" or not parts.hostname or parts.path.strip("/") or parts.query or parts.username:
        raise RequestRefused("bad_url", f"{text[:200]!r} is not a cloud's address", hint="write https://HOST:PORT")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"https://{host}:{port}" if port else f"https://{host}"


def _authority(url: str, expected: str | None, here: Surroundings) -> str:
    """Return the PEM of the authority that the cloud names, once its hash is the expected or confirmed one."""
    from cloud.cli.authority import fetch

    pem, found = fetch(url, transport=here.transport)
    if expected is not None:
        if found != expected.strip().lower():
            raise RequestRefused(
                "wrong_ca",
                f"{url} shows authority {found}, but {expected[:80]} was asked for",
                hint="somebody may be in between; ask the cloud's owner for the hash",
            )
        return pem
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise RequestRefused(
            "ca_unconfirmed",
            f"{url} shows authority {found}, which nobody has confirmed",
            hint=f"if that is the right one: --ca-hash {found}",
        )
    note(f"{url} shows authority {found}")
    if not typer.confirm("Is this the hash that the cloud's owner told you?", err=True):
        raise RequestRefused("ca_unconfirmed", f"the authority of {url} was not confirmed", hint="ask its owner")
    return pem


def _token(user: str | None, file: Path | None, variables: Mapping[str, str]) -> str | None:
    """Return the token to log in with; None where there is a name for a password."""
    if file is not None:
        return _first_line(file, "bad_token_file")
    if user is not None:
        return None
    if TOKEN_VARIABLE in variables:
        return variables[TOKEN_VARIABLE]
    raise RequestRefused("no_user", "nobody is named to log in", hint=f"use --user, --token-file or ${TOKEN_VARIABLE}")


def _first_line(file: Path, reason: str) -> str:
    try:
        return (file.read_text(encoding="utf-8").splitlines() or [""])[0]
    except (OSError, UnicodeDecodeError) as error:
        what = error.strerror if isinstance(error, OSError) else "not text"
        raise RequestRefused(reason, f"{file}: {what}") from error


def _password(user: str, file: Path | None, variables: Mapping[str, str]) -> str:
    if file is not None:
        return _first_line(file, "bad_password_file")
    if PASSWORD_VARIABLE in variables:
        return variables[PASSWORD_VARIABLE]
    if not sys.stdin.isatty():
        raise RequestRefused(
            "no_password",
            "there is no terminal to ask for the password",
            hint="use --password-file or $SKERRY_PASSWORD",
        )
    return getpass.getpass(f"Password of {user}: ")
