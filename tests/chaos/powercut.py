"""Cut the power at points and at random moments of updates: the state folder loses all that was not synced.

`./run chaos powercut [--kills N] [--seed S] [--json]`, as root. The engine keeps its power: its containers are what the
worker finds when it comes back with an older memory than it died with.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.chaos.rig.island import island
from tests.chaos.rig.sweep import Tally, arguments, finish, sweep
from tests.chaos.rig.xfs import Disk, in_private_mounts


def main() -> int:
    asked = arguments(__doc__, kills=300)
    in_private_mounts("tests.chaos.powercut")
    tally = Tally(asked.seed)
    with tempfile.TemporaryDirectory(prefix="skerry-") as name:
        disk = Disk(Path(name))
        disk.begin()
        try:
            with island(Path(name), disk=disk) as place:
                place.sabotaged = asked.plant
                sweep(place, tally, kills=asked.kills, random_times=True, quiet=False)
        finally:
            disk.end()
    return finish(tally, as_json=asked.json)


if __name__ == "__main__":
    sys.exit(main())
