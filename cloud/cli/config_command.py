"""What `skerry app config` does, and its plain spelling, which is understood without the whole command line.

Printing a project is what editors and scripts do again and again, and the libraries of the command line take longer to
load than most projects. So the entry asks `understood` first, and what that does not know goes the usual way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from cloud.cli import exits
from cloud.cli.project_files import chosen_files
from cloud.cli.render import note, say_json
from cloud.cli.yaml_text import yaml_text
from compose.canonical import canonical
from compose.reference_form import reference_form


class Asked(NamedTuple):
    """What a command line asks for."""

    files: tuple[Path, ...] = ()
    env_files: tuple[Path, ...] = ()
    profiles: tuple[str, ...] = ()
    name: str | None = None
    as_json: bool = False
    errors_as_json: bool = False


def understood(arguments: Sequence[str]) -> Asked | None:
    """Return what a command line in its plain spelling asks for, and None for every other one."""
    if list(arguments[:2]) != ["app", "config"]:
        return None
    values: dict[str, list[str]] = {"files": [], "--env-file": [], "--profile": [], "--name": [], "--format": []}
    flags: set[str] = set()
    rest = iter(arguments[2:])
    for argument in rest:
        if not argument.startswith("-"):
            values["files"].append(argument)
        elif argument in ("--json", "--all-profiles"):
            flags.add(argument)
        elif argument in values and (value := next(rest, None)) is not None and not value.startswith("-"):
            values[argument].append(value)
        else:
            return None
    if not {*values["--format"]} <= {"yaml", "json"}:
        return None
    return Asked(
        files=tuple(map(Path, values["files"])),
        env_files=tuple(map(Path, values["--env-file"])),
        profiles=("*",) if "--all-profiles" in flags else tuple(values["--profile"]),
        name=values["--name"][-1] if values["--name"] else None,
        as_json="--json" in flags or values["--format"][-1:] == ["json"],
        errors_as_json="--json" in flags,
    )


def show(asked: Asked, variables: Mapping[str, str]) -> int:
    """Print the project that is asked for in its canonical form."""
    found = canonical(
        chosen_files(asked.files, variables),
        environment=variables,
        env_files=asked.env_files,
        profiles=asked.profiles,
        name=asked.name,
    )
    for warning in found.warnings:
        note(f"warning: {warning}")
    document = reference_form(found.document)
    if asked.as_json:
        say_json(document)
    else:
        print(yaml_text(document), end="")
    return exits.OK
