"""`skerry token` and `skerry audit`: what programs may do, and who did what."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

import typer

from cloud.cli.durations import seconds_of
from cloud.cli.render import moment, note, say, say_json, table
from cloud.cli.surroundings import AsJson


def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="What it is for; shown in lists.")],
    *,
    scope: Annotated[
        list[str], typer.Option("--scope", help="read, ci, deploy, device, grant or admin; several times.")
    ],
    ttl: Annotated[str, typer.Option(help="How long it is good for: 12h, 30d.")] = "30d",
    as_json: AsJson = False,
) -> None:
    """Make a token for a program and print it, alone, on standard output; it is not shown again."""
    from cloud.cli import answers
    from cloud.cli.connect import connected

    body = {"name": name, "scopes": scope, "ttl_s": seconds_of(ttl)}
    with connected(context) as client:
        made = client.post("/v1/tokens", answers.NewToken, body)
    if as_json:
        say_json(made.plain())
        return
    note(f"token {made.token} for {name}, may: {', '.join(made.scopes)}, until {moment(made.expires_ms)}:")
    say(made.secret)


def list_tokens(context: typer.Context, *, as_json: AsJson = False) -> None:
    """List tokens and logins that are not over."""
    from cloud.cli import answers
    from cloud.cli.connect import connected

    with connected(context) as client:
        found = client.get("/v1/tokens", answers.Tokens)
    if as_json:
        say_json(found.plain())
        return
    rows = [(t.token, t.name, " ".join(t.scopes), moment(t.created_ms), moment(t.expires_ms)) for t in found.tokens]
    say(*table(("TOKEN", "NAME", "MAY", "MADE", "UNTIL"), rows))


def revoke(
    context: typer.Context,
    token: Annotated[str, typer.Argument(help="The token's id, as `token list` shows it.")],
    *,
    as_json: AsJson = False,
) -> None:
    """End a token, or a login, at once."""
    from cloud.cli.connect import connected

    with connected(context) as client:
        client.call("DELETE", f"/v1/tokens/{quote(token, safe='')}")
    if as_json:
        say_json({"token": token, "revoked": True})
    else:
        note(f"token {token} is over")


def audit(
    context: typer.Context,
    *,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many changes at most.")] = 100,
    before: Annotated[int | None, typer.Option(min=1, help="Those before the one with this number.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show who changed what, the newest first."""
    from cloud.cli import answers
    from cloud.cli.connect import connected

    with connected(context) as client:
        found = client.get("/v1/audit", answers.Changes, limit=limit, before=before)
    if as_json:
        say_json(found.plain())
        return
    rows = [(c.id, moment(c.at_ms), c.by, c.action, c.subject, c.detail) for c in found.changes]
    say(*table(("NUMBER", "WHEN", "WHO", "WHAT", "OF", "DETAIL"), rows))
