"""`skerry app`: what is pushed and deployed, and what a Compose project says before it is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import quote

import typer

from cloud.cli import exits
from cloud.cli.render import moment, note, say, say_json, short, table
from cloud.cli.surroundings import AsJson, around

Files = Annotated[
    list[Path] | None, typer.Argument(metavar="[FILE...]", help="Compose files or one folder; else this folder.")
]
EnvFiles = Annotated[list[Path] | None, typer.Option("--env-file", help="A file of variables, in place of .env.")]
Profiles = Annotated[list[str] | None, typer.Option("--profile", help="A Compose profile to include.")]
AllProfiles = Annotated[bool, typer.Option("--all-profiles", help="Include every profile.")]
ProjectName = Annotated[str | None, typer.Option("--name", help="The app's name, in place of the project's.")]


def config(
    context: typer.Context,
    files: Files = None,
    *,
    env_file: EnvFiles = None,
    profile: Profiles = None,
    all_profiles: AllProfiles = False,
    name: ProjectName = None,
    output: Annotated[Literal["yaml", "json"], typer.Option("--format", help="How to print it.")] = "yaml",
    as_json: AsJson = False,
) -> int:
    """Print the Compose project as one file: variables replaced, files merged, short forms written out."""
    from cloud.cli.config_command import Asked, show

    asked = Asked(
        files=tuple(files or ()),
        env_files=tuple(env_file or ()),
        profiles=("*",) if all_profiles else tuple(profile or ()),
        name=name,
        as_json=as_json or output == "json",
    )
    return show(asked, around(context).variables)


def check(
    context: typer.Context,
    files: Files = None,
    *,
    env_file: EnvFiles = None,
    profile: Profiles = None,
    name: ProjectName = None,
    device: Annotated[
        str | None, typer.Option("--device", metavar="NAME", help="For this device: its engine, architecture, policy.")
    ] = None,
    policy: Annotated[
        Path | None, typer.Option("--policy", metavar="FILE", help="For the [policy] of this device.toml.")
    ] = None,
    grant: Annotated[
        list[str] | None, typer.Option("--grant", help="With this grant: ROW or ROW=ENTRY of the policy.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Say what of a Compose project runs on a device, what is refused and why, and what is ignored. Nothing is sent."""
    from cloud.cli.check import Asked, checked
    from cloud.cli.check_text import check_document, check_lines

    asked = Asked(
        files=tuple(files or ()),
        env_files=tuple(env_file or ()),
        profiles=tuple(profile or ()),
        name=name,
        device=device,
        policy=policy,
        grants=tuple(grant or ()),
    )
    found = checked(context, asked)
    if as_json:
        say_json(check_document(found))
    else:
        for warning in found.warnings:
            note(f"warning: {warning}")
        say(*check_lines(found))
    return exits.REFUSED if found.refused else exits.OK


def schema(as_json: AsJson = False) -> None:
    """Print the JSON schema of Compose files, x-skerry included, for editors. It is JSON in any case."""
    from compose import schema as compose_schema

    say_json(compose_schema.schema())


def list_apps(context: typer.Context, as_json: AsJson = False) -> None:
    """List the apps."""
    from cloud.cli import answers
    from cloud.cli.connect import connected

    with connected(context) as client:
        answer = client.get("/v1/apps", answers.Apps)
    if as_json:
        say_json(answer.plain())
    else:
        rows = [(app.name, app.releases, app.latest_text, app.app) for app in answer.apps]
        say(*table(("APP", "RELEASES", "LATEST", "ID"), rows))


def show(
    context: typer.Context, name: Annotated[str, typer.Argument(help="The app's name.")], as_json: AsJson = False
) -> None:
    """Show an app's releases and where it runs."""
    from cloud.cli import answers
    from cloud.cli.connect import connected

    with connected(context) as client:
        app = client.get(f"/v1/apps/{quote(name, safe='')}", answers.App)
    if as_json:
        say_json(app.plain())
        return
    say(f"{app.name} ({app.app})", "")
    releases = [(short(row.release), row.version, moment(row.created_ms), row.by) for row in app.releases]
    say(*table(("RELEASE", "VERSION", "PUSHED", "BY"), releases), "")
    rows = [(placed.fleet, short(placed.release), placed.devices, placed.instance) for placed in app.instances]
    say(*table(("FLEET", "RELEASE", "DEVICES", "INSTANCE"), rows))


def delete(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The app's name.")],
    force: Annotated[bool, typer.Option("--force", help="Also where it is deployed: its removal goes first.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete an app. Its volumes on devices stay."""
    from cloud.cli.connect import connected

    with connected(context) as client:
        client.call("DELETE", f"/v1/apps/{quote(name, safe='')}", force="true" if force else None)
    if as_json:
        say_json({"name": name, "deleted": True})
    else:
        say(f"deleted {name}")
