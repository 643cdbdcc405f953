"""What several contract tests are told with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness.telemetry import Bench, running


@pytest.fixture
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Both Redis children in a folder of their own: pytest's own folders have paths too long for a socket."""
    with running(tmp_path_factory.mktemp("d")) as made:
        yield made
