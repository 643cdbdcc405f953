"""Each file of scenarios has a stage of its own; the stories in it are told in order on that stage."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

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
