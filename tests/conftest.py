"""Fixtures for all tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from docker.errors import DockerException

from examples.demo.world import image_names, remove_images
from tests.harness.podman import podman_service
from tests.harness.servers import use_unpacked_servers

BUILT = ("hello-", "ticker-")  # images of the example and of a bench, which several tests build at once

use_unpacked_servers()


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Iterator[None]:
    """Remove what tests have built once all of them are done, in whatever process they ran."""
    before = _built()
    result = yield
    if not hasattr(session.config, "workerinput"):  # else we are one of several
        remove_images(_built() - before)
    return result


def _built() -> frozenset[str]:
    try:
        return image_names(*BUILT)
    except DockerException:  # without an engine nothing is built
        return frozenset()


@pytest.fixture(scope="session")
def podman() -> Iterator[str]:
    """The address of a Podman of this run's own."""
    with podman_service() as url:
        yield url
