"""Which files are loaded when none are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from compose.discover import default_files
from compose.errors import Unreadable


def names(folder: Path, environment: dict[str, str] | None = None) -> list[str]:
    return [path.name for path in default_files(folder, environment or {})]


def test_the_preferred_name_wins_and_brings_its_override(folder: Path) -> None:
    for name in ("docker-compose.yml", "compose.yaml", "compose.override.yaml"):
        (folder / name).touch()
    assert names(folder) == ["compose.yaml", "compose.override.yaml"]


def test_a_folder_above_is_searched(folder: Path) -> None:
    (folder / "docker-compose.yml").touch()
    (folder / "deep" / "er").mkdir(parents=True)
    assert default_files(folder / "deep" / "er", {}) == [folder / "docker-compose.yml"]


def test_the_environment_may_name_the_files(folder: Path) -> None:
    assert names(folder, {"COMPOSE_FILE": "a.yaml:b.yaml"}) == ["a.yaml", "b.yaml"]
    assert names(folder, {"COMPOSE_FILE": "a.yaml;b.yaml", "COMPOSE_PATH_SEPARATOR": ";"}) == ["a.yaml", "b.yaml"]


def test_no_file_is_refused(folder: Path) -> None:
    with pytest.raises(Unreadable, match="there is no compose"):
        default_files(folder, {})
