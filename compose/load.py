"""Compose files to a `Project`: the canonical document with its types, and the contents of configs and secrets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from compose.canonical import Canonical, canonical
from compose.contents import read_contents
from compose.errors import ComposeError
from compose.project import FileResource, Network, Part, Project, Service, Volume
from compose.tree import Plain

AnyPart = TypeVar("AnyPart", bound=Part)


def load(
    files: Sequence[Path],
    *,
    environment: Mapping[str, str],
    env_files: Sequence[Path] = (),
    profiles: Sequence[str] = (),
    name: str | None = None,
    project_folder: Path | None = None,
) -> Project:
    """Return the project that `files` describe; arguments and errors are those of `canonical`."""
    found = canonical(
        files,
        environment=environment,
        env_files=env_files,
        profiles=profiles,
        name=name,
        project_folder=project_folder,
    )
    return typed(found)


def typed(found: Canonical) -> Project:
    """Return a canonical document as a `Project`, with the contents that its services use."""
    rest = dict(found.document)
    rest.pop("name", None)
    if not rest.get("services"):
        raise ComposeError("there are no services to run; add some, or activate a profile")
    sections = {section: rest.pop(section, {}) for section in ("services", "networks", "volumes", "secrets", "configs")}
    try:
        project = Project(
            name=found.name,
            folder=found.folder,
            services=_parts(Service, sections["services"]),
            networks=_parts(Network, sections["networks"]),
            volumes=_parts(Volume, sections["volumes"]),
            secrets=_parts(FileResource, sections["secrets"]),
            configs=_parts(FileResource, sections["configs"]),
            rest=rest,
            warnings=found.warnings,
        )
    except ValidationError as error:  # the shapes let nothing through that has no type; this is the second lock
        first = error.errors()[0]
        raise ComposeError(f"{first['msg']}", path=(error.title, *first["loc"])) from error
    return replace(project, contents=read_contents(project, found.variables))


def _parts(kind: type[AnyPart], section: Plain) -> Mapping[str, AnyPart]:
    return {name: kind.model_validate(value) for name, value in section.items()} if isinstance(section, dict) else {}
