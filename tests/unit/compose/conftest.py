"""A project folder for tests: text in, project out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from compose.load import load
from compose.project import Project, Service

Load = Callable[..., Project]
LoadService = Callable[..., Service]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return an empty folder named `app`, which is what a project in it is called."""
    folder = tmp_path / "app"
    folder.mkdir()
    return folder


@pytest.fixture
def load_text(folder: Path) -> Load:
    """Return the function that writes `compose.yaml` and other files, and loads the project."""

    def load_text(
        *texts: str,
        files: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        profiles: Sequence[str] = (),
        name: str | None = None,
        env_files: Sequence[str] = (),
    ) -> Project:
        for relative, text in (files or {}).items():
            path = folder / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        paths: list[Path] = []
        for number, text in enumerate(texts):
            paths.append(folder / ("compose.yaml" if number == 0 else f"more{number}.yaml"))
            paths[-1].write_text(text)
        return load(
            paths,
            environment=environment or {},
            profiles=profiles,
            name=name,
            env_files=[folder / file for file in env_files],
        )

    return load_text


@pytest.fixture
def load_service(load_text: Load) -> LoadService:
    """Return the function that loads the one service `web` with an image and these lines."""

    def load_service(lines: str, **more: object) -> Service:
        indented = "".join(f"    {line}\n" for line in lines.splitlines())
        return load_text(f"services:\n  web:\n    image: busybox\n{indented}", **more).services["web"]

    return load_service
