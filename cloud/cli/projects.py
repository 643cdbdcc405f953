"""Compose projects with their types, for commands that do more than print them. Slow to import: see `project_files`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from cloud.cli.project_files import chosen_files
from compose.errors import Unsupported
from compose.load import load
from compose.locate import documents_of, written_at
from compose.project import Project
from compose.refusals import verdict


def load_project(
    sources: Sequence[Path],
    *,
    environment: Mapping[str, str],
    env_files: Sequence[Path] = (),
    profiles: Sequence[str] = (),
    name: str | None = None,
) -> Project:
    """Return the project of one folder, of the files given, or of this folder; raise `Refused` otherwise."""
    files = chosen_files(sources, environment)
    return load(files, environment=environment, env_files=env_files, profiles=profiles, name=name)


def judged(project: Project, files: Sequence[Path], *, platform: str = "") -> tuple[str, ...]:
    """Return a line for each thing that a device would ignore; raise `Refused` for the first that it would not run."""
    found = verdict(project, platform=platform)
    if found.refused:
        first = found.refused[0]
        place = written_at(first.path, documents_of(files, project.folder))
        raise Unsupported(first.why, place=place, path=(first.path,))
    return (*project.warnings, *found.ignored)
