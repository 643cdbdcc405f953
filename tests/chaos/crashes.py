"""Kill the worker (SIGKILL) at every step and every durable write of an update, and of one that must be rolled back.

`./run chaos crashes [--kills N] [--seed S] [--json]`. After each kill the worker is started again; the app must then be
wholly the old or wholly the new release, and the new one once the desired state has been handed over again.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.chaos.rig.island import island
from tests.chaos.rig.sweep import Tally, arguments, finish, sweep


def main() -> int:
    asked = arguments(__doc__, kills=None)
    tally = Tally(asked.seed)
    with tempfile.TemporaryDirectory(prefix="skerry-") as folder, island(Path(folder)) as place:
        place.sabotaged = asked.plant
        sweep(place, tally, kills=asked.kills, random_times=False, quiet=False)
    return finish(tally, as_json=asked.json)


if __name__ == "__main__":
    sys.exit(main())
