"""An image over a link that is cut at random, with kills and power cuts in between, against the engine's own pull.

`./run chaos images [--megabytes 200] [--cuts 100] [--seed 1] [--engine-seconds 600]`, as root. The link is cut after
about every hundredth of the image; every fifth cut comes with a `kill -9`, every fourth of these with a power cut (XFS
on a loop device loses what was not synced). The engine's pull is begun again whenever it fails, on the same link, until
it has arrived, three times the image has come down, or its time is over.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.chaos.rig.crossing import MIB, Cuts, by_engine, by_skerry, filled_registry, make_image
from tests.chaos.rig.xfs import Disk, in_private_mounts
from tests.harness.servers import use_unpacked_servers

ENGINE_TIMES_MAX = 3.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--cuts", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--engine-seconds", type=float, default=600.0, help="how long the engine's own pull may try")
    asked = parser.parse_args()
    in_private_mounts("tests.chaos.images")
    use_unpacked_servers()
    image = make_image(asked.megabytes, seed=asked.seed)
    every = asked.megabytes * MIB // asked.cuts

    def cuts() -> Cuts:
        return Cuts(asked.seed, every_bytes=every, kill_each=5, power_each=4, cuts_max=None)

    with tempfile.TemporaryDirectory(prefix="skerry-") as name:
        folder = Path(name)
        disk = Disk(folder)
        disk.begin()
        try:
            with filled_registry(folder, image) as address:
                ours = by_skerry(folder, image, address, cuts(), disk=disk)
                print(ours.line(), flush=True)
                theirs = by_engine(image, address, cuts(), times_max=ENGINE_TIMES_MAX, seconds_max=asked.engine_seconds)
                print(theirs.line(), flush=True)
        finally:
            disk.end()
    held = ours.arrived and ours.again_per_cut <= MIB
    print("held" if held else f"NOT HELD: arrived {ours.arrived}, {ours.again_per_cut:.0f} bytes again a cut")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
