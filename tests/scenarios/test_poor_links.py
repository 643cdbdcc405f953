"""Where the link is poor: a mirror on the site."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.harness.nginx import nginx_mirror
from tests.harness.stage import Stage


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stage, str]]:
    stage = Stage(tmp_path_factory.mktemp("s"))
    try:
        stage.begin()
        with nginx_mirror(stage.folder / "mirror", registry=str(stage.cloud.facts["registry"])) as url:
            yield stage, url
    finally:
        stage.end()


def test_an_app_comes_by_way_of_a_mirror_that_the_fleet_was_told_of(mirrored: tuple[Stage, str]) -> None:
    stage, url = mirrored
    stage.cli("fleet", "link", "default", "--mirror", url)
    stage.deploy_and_settle()
    kept = [path for path in (stage.folder / "mirror" / "blobs").rglob("*") if path.is_file()]
    urls = b"".join(path.read_bytes()[:2000] for path in kept)
    spec = stage.cli("device", "show", "pump-1")["status"]["instances"][0]["services"]
    assert len({service["digest"] for service in spec}) <= urls.count(b"/manifests/sha256:")
    assert urls.count(b"/blobs/sha256:") > 0
    assert stage.condition("AllSectionsSupported")["status"]
