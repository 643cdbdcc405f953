"""The Compose files of a folder, by their default names, or those that COMPOSE_FILE names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from compose.errors import Place, Unreadable

FILES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
OVERRIDES = (
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
)


def default_files(folder: Path, environment: Mapping[str, str]) -> list[Path]:
    """Return the files to load when none are given: COMPOSE_FILE's, or the first default one and its override.

    A folder without one is searched upwards, as other Compose tools do. Raise `Unreadable` when there is none.
    """
    if written := environment.get("COMPOSE_FILE"):
        separator = environment.get("COMPOSE_PATH_SEPARATOR") or ":"
        return [folder / part for part in written.split(separator) if part]
    for candidate in (folder, *folder.absolute().parents):
        found = next((candidate / name for name in FILES if (candidate / name).is_file()), None)
        if found is not None:
            override = next((candidate / name for name in OVERRIDES if (candidate / name).is_file()), None)
            return [found, override] if override else [found]
    raise Unreadable(f"there is no {', '.join(FILES[:2])} here or above; name a file", place=Place(str(folder)))
