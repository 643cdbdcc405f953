"""The Compose project that a command line names: a folder, files, or what lies here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from cloud.cli.errors import RequestRefused
from compose.discover import default_files
from compose.interpolate import layered
from compose.source import Source, absolute


def chosen_files(sources: Sequence[Path], environment: Mapping[str, str]) -> list[Path]:
    """Return the Compose files of one folder, the files given, or those of this folder."""
    folders = [source for source in sources if source.is_dir()]
    if folders and len(sources) > 1:
        raise RequestRefused(
            "bad_sources",
            f"{folders[0]} is a folder",
            hint="give one folder, or only files",
        )
    folder = folders[0] if folders else Path()
    if sources and not folders:
        return list(sources)
    return default_files(folder, _with_dotenv(folder, environment))


def _with_dotenv(folder: Path, environment: Mapping[str, str]) -> Mapping[str, str]:
    """Return the environment with what the folder's `.env` adds: it may say which files there are."""
    file = absolute(folder / ".env")
    if not file.is_file():
        return environment
    found = Source(shown_from=file.parent, home="", warn=lambda line: None).variables(file, environment.get)
    return layered(environment, {name: value for name, value in found.items() if value is not None})
