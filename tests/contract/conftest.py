"""What several contract tests are told with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness import databases
from tests.harness.engine import docker_client, push_image, registry, remove_images
from tests.harness.engine_bench import CHECK_LINE, KINDS, REAL, REPOSITORY, Images, bench_of
from tests.harness.engine_bench import Bench as EngineBench
from tests.harness.postgres import Postgres
from tests.harness.telemetry import Bench, running


@pytest.fixture
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Both Redis children in a folder of their own: pytest's own folders have paths too long for a socket."""
    with running(tmp_path_factory.mktemp("d")) as made:
        yield made


@pytest.fixture(scope="session")
def engine_images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Images]:
    """A registry with images in it."""
    client = docker_client()
    with registry(tmp_path_factory.mktemp("registry")) as address:
        yield Images(
            plain=push_image(client, address, REPOSITORY, b"one"),
            checked=push_image(client, address, REPOSITORY, b"two", changes=[CHECK_LINE]),
        )
        remove_images(client, address)
    client.close()


@pytest.fixture(params=KINDS)
def every(request: pytest.FixtureRequest) -> Iterator[EngineBench]:
    """An engine of each kind."""
    with bench_of(request.param, request) as made:
        yield made


@pytest.fixture(params=REAL)
def real(request: pytest.FixtureRequest) -> Iterator[EngineBench]:
    """Each real engine."""
    with bench_of(request.param, request) as made:
        yield made


@pytest.fixture(params=KINDS)
def checked(request: pytest.FixtureRequest) -> Iterator[EngineBench]:
    """An engine of each kind, and an image with a health check."""
    with bench_of(request.param, request, "checked") as made:
        yield made


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL for all tests of this process."""
    with databases.postgres() as server:
        yield server


@pytest.fixture(params=databases.KINDS)
def database_kind(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each kind of database, for clouds that are made meanwhile."""
    kind = str(request.param)
    with databases.used(request.getfixturevalue("postgres") if kind == "postgresql" else None):
        yield kind
