"""The story of `./run chaos images` at a small scale: an image crosses a link that is cut, and the worker is killed."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.rig.crossing import MIB, Cuts, by_skerry, filled_registry, make_image


def test_an_image_arrives_over_a_cut_link_with_kills_at_less_than_a_mebibyte_a_cut(tmp_path: Path) -> None:
    image = make_image(20, seed=3)
    cuts = Cuts(3, every_bytes=2 * MIB, kill_each=4, power_each=0, cuts_max=10)
    with filled_registry(tmp_path, image) as address:
        crossing = by_skerry(tmp_path, image, address, cuts, disk=None)
    log = (tmp_path / "fetching.log").read_text()
    assert crossing.arrived, log[-2000:]
    assert crossing.cuts >= 8
    assert crossing.kills >= 2
    assert crossing.again_per_cut <= MIB, crossing.line()
