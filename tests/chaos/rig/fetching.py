"""A process that fetches one image, until the engine holds it: `python -m tests.chaos.rig.fetching JSON`.

The argument says where: state folder, engine, registry, port, boot, device, and the image as a release has it.
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

from broker.appspec import Image
from broker.errors import Passing
from device.engine.docker import DockerEngine
from device.images.fetcher import Fetcher
from device.images.loopback import Loopback
from device.images.source import Registry
from device.images.sources import Sources
from device.images.store import Store
from tests.harness.apps import section

PLENTY = 1 << 40


def main() -> int:
    """Fetch; trouble of the link is what this is for, so it goes on after it."""
    asked = json.loads(sys.argv[1])
    image = Image.model_validate(asked["image"])
    engine = DockerEngine(device=asked["device"], url=asked["engine"])
    fetcher = Fetcher(
        store=Store(Path(asked["folder"]), boot=asked["boot"]),
        sources=Sources(Registry(asked["registry"], None, lambda repository, fresh: "none")),
        loopback=Loopback(asked["port"]),
        engine=engine,
        free_bytes=lambda: PLENTY,
    )
    fetcher.note([section({"web": {"image": image.model_dump()}})])
    while True:
        try:
            fetcher.fetch(fetcher.name(image), lambda done, total: None)
            return 0
        except Passing as error:
            print(error, file=sys.stderr)
            threading.Event().wait(0.2)


if __name__ == "__main__":
    sys.exit(main())
