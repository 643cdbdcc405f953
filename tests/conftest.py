"""Fixtures for all tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness.podman import podman_service
from tests.harness.servers import use_unpacked_servers

use_unpacked_servers()


@pytest.fixture(scope="session")
def podman() -> Iterator[str]:
    """The address of a Podman of this run's own."""
    with podman_service() as url:
        yield url
