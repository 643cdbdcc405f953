"""The story of `./run chaos images` at a small scale: an image crosses a link that is cut, and the worker is killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.rig.bare_pull import by_engine
from tests.chaos.rig.crossing import MIB, Cuts, Into, by_skerry, filled_registry, make_image

ENGINES = pytest.mark.parametrize("engine", ["docker", "podman"])


def engine_of(name: str, request: pytest.FixtureRequest) -> Into:
    return Into(name, request.getfixturevalue("podman") if name == "podman" else None)


@ENGINES
def test_an_image_arrives_over_a_cut_link_with_kills_at_less_than_a_mebibyte_a_cut(
    engine: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    into = engine_of(engine, request)
    image = make_image(20, seed=3)
    cuts = Cuts(3, every_bytes=2 * MIB, kill_each=4, power_each=0, cuts_max=10)
    with filled_registry(tmp_path, image) as address:
        crossing = by_skerry(tmp_path, image, address, cuts, into=into, disk=None)
    log = (tmp_path / "fetching.log").read_text()
    assert crossing.arrived, log[-2000:]
    assert crossing.cuts >= 8
    assert crossing.kills >= 2
    assert crossing.again_per_cut <= MIB, crossing.line()


@ENGINES
def test_the_pull_that_it_is_compared_with_does_arrive_where_nothing_is_cut(
    engine: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    into = engine_of(engine, request)
    image = make_image(4, seed=4)
    calm = Cuts(1, every_bytes=MIB, kill_each=1, power_each=0, cuts_max=0)
    with filled_registry(tmp_path, image) as address:
        crossing = by_engine(image, address, calm, into=into, times_max=3.0, seconds_max=60.0)
    assert crossing.arrived
    assert crossing.down_bytes < 1.1 * crossing.image_bytes
