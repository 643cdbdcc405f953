"""Each file of scenarios has a stage of its own; the stories in it are told in order on that stage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.harness.engine import docker_client, push_image, registry, remove_images
from tests.harness.islet import REPOSITORY, Islet, islet
from tests.harness.stage import Stage


@pytest.fixture(scope="module")
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Return a stage with a device that runs the hello app, greeting `one`."""
    proxied = bool(getattr(request.module, "PROXIED", False))
    made = Stage(tmp_path_factory.mktemp("s"), proxied=proxied)
    try:
        made.begin()
        made.deploy_and_settle()
        yield made
    finally:
        made.end()


@pytest.fixture(scope="session")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """Two releases of an image in a registry, by name."""
    client = docker_client()
    with registry(tmp_path_factory.mktemp("registry")) as address:
        yield {name: push_image(client, address, REPOSITORY, name.encode()) for name in ("one", "two")}
        remove_images(client, address)
    client.close()


@pytest.fixture(params=["docker", "podman"])
def place(request: pytest.FixtureRequest, tmp_path: Path, releases: Mapping[str, str]) -> Iterator[Islet]:
    """A reconciler on each real engine, which runs nothing yet."""
    url = request.getfixturevalue("podman") if request.param == "podman" else None
    with islet(tmp_path, releases, url=url) as made:
        yield made
