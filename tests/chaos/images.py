"""An image over a link that is cut at random, with kills and power cuts in between, against the engine's own pull.

`./run chaos images [--engine docker] [--engine podman] [--megabytes 200] [--cuts 100] [--seed 1] [--engine-seconds
600]`, as root; both engines without `--engine`. The link is cut a little more often than after every hundredth of the
image; every fifth cut comes with a `kill -9`, every fourth of these with a power cut (XFS on a loop device loses what
was not synced). The engine's pull is begun again whenever it fails, through the same proxy with the same cuts, until it
has arrived, three times the image has come down, or its time is over. Both engines are the story's own.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.chaos.rig.bare_pull import by_engine
from tests.chaos.rig.crossing import MIB, Crossing, Cuts, Into, by_skerry, filled_registry, make_image
from tests.chaos.rig.xfs import Disk, in_private_mounts
from tests.harness.images import BuiltImage
from tests.harness.own_engine import docker_service
from tests.harness.podman import podman_service
from tests.harness.servers import use_unpacked_servers

ENGINES = {"docker": docker_service, "podman": podman_service}
ENGINE_TIMES_MAX = 3.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engine", choices=list(ENGINES), action="append", help="one engine; both without")
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--cuts", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--engine-seconds", type=float, default=600.0, help="how long the engine's own pull may try")
    asked = parser.parse_args()
    in_private_mounts("tests.chaos.images")
    use_unpacked_servers()
    image = make_image(asked.megabytes, seed=asked.seed)
    every = asked.megabytes * MIB * 9 // (asked.cuts * 10)  # a little less, so that chance leaves enough of them

    def cuts() -> Cuts:
        return Cuts(asked.seed, every_bytes=every, kill_each=5, power_each=4, cuts_max=None)

    held = True
    with tempfile.TemporaryDirectory(prefix="skerry-") as name:
        folder = Path(name)
        with filled_registry(folder, image) as address:
            for engine in asked.engine or ENGINES:
                with ENGINES[engine]() as url:
                    into = Into(engine, url)
                    ours = crossed(folder / engine, image, address, cuts(), into=into)
                    print(ours.line(), flush=True)
                    held = held and ours.arrived and ours.again_per_cut <= MIB
                    theirs = by_engine(
                        image,
                        address,
                        cuts(),
                        into=into,
                        times_max=ENGINE_TIMES_MAX,
                        seconds_max=asked.engine_seconds,
                    )
                    print(theirs.line(), flush=True)
    print("held" if held else "NOT HELD: see the lines of skerry")
    return 0 if held else 1


def crossed(folder: Path, image: BuiltImage, address: str, cuts: Cuts, *, into: Into) -> Crossing:
    folder.mkdir()
    with _disk(folder) as disk:
        return by_skerry(folder, image, address, cuts, into=into, disk=disk)


@contextlib.contextmanager
def _disk(folder: Path) -> Iterator[Disk]:
    disk = Disk(folder)
    disk.begin()
    try:
        yield disk
    finally:
        disk.end()


if __name__ == "__main__":
    sys.exit(main())
