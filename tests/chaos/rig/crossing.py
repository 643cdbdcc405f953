"""An image crosses a link that is cut again and again, here with the worker killed, there with the power gone.

The count is at the link: every byte that came down, whoever lost it afterwards.
"""

from __future__ import annotations

import contextlib
import json
import queue
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from broker.ids import new_id
from device.images.fetcher import reference
from tests.chaos.rig.crashing import cut_power
from tests.chaos.rig.xfs import Disk
from tests.harness.cutting_proxy import CuttingProxy
from tests.harness.engine import docker_client, registry, remove_images
from tests.harness.images import BuiltImage, built, layer_tar, noise, upload
from tests.harness.servers import ROOT, free_port

MIB = 1024 * 1024
BYTES_PER_S = 40 * MIB
PATIENCE_S = 1200.0


@dataclass(frozen=True)
class Into:
    """An engine: its name, and its address where that is not Docker's usual one."""

    name: str
    url: str | None = None


@dataclass(frozen=True)
class Crossing:
    """What it took. `again` is what came down more than once, headers included."""

    who: str
    arrived: bool
    image_bytes: int
    down_bytes: int
    cuts: int
    kills: int
    power_cuts: int
    seconds: float

    @property
    def again_per_cut(self) -> float:
        return (self.down_bytes - self.image_bytes) / max(1, self.cuts)

    def line(self) -> str:
        again = round(self.again_per_cut) if self.arrived else None
        return json.dumps(
            asdict(self) | {"times": round(self.down_bytes / self.image_bytes, 3), "again_per_cut": again}
        )


def make_image(megabytes: int, *, seed: int, layers: int = 4) -> BuiltImage:
    """Return an image of layers that no compression makes smaller, in files of a MiB."""
    each = megabytes // layers
    tars = [
        layer_tar({f"layer{n}/{k}": noise(MIB, seed=seed * 10_000 + n * 1000 + k) for k in range(each)})
        for n in range(layers)
    ]
    return built(tars)


class Cuts:
    """When the link is cut, and what comes with it: by number, the same for every run of a seed."""

    def __init__(self, seed: int, *, every_bytes: int, kill_each: int, power_each: int, cuts_max: int | None) -> None:
        self._random = random.Random(seed)  # noqa: S311 - where to cut
        self._every_bytes = every_bytes
        self._left = cuts_max
        self.kill_each = kill_each
        self.power_each = power_each

    def next(self) -> int | None:
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                return None
        return self._random.randrange(self._every_bytes // 2, self._every_bytes * 3 // 2)


class Fetching:
    """The worker's process, started again as often as it is killed."""

    def __init__(
        self, folder: Path, image: BuiltImage, *, registry_port: int, port: int, url: str | None, disk: Disk | None
    ) -> None:
        self._folder = folder
        self._disk = disk
        self._asked = {
            "engine": url,
            "folder": str((disk.mount if disk else folder) / "images"),
            "registry": f"127.0.0.1:{registry_port}",
            "port": port,
            "device": new_id("d"),
            "image": image.image.model_dump(),
        }
        self._boots = 0
        self.kills = 0
        self.power_cuts = 0
        self._wanted: queue.Queue[tuple[bool, threading.Event]] = queue.Queue()
        self._over = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        asked = json.dumps(self._asked | {"boot": f"{self._boots:032x}"})
        argv = [sys.executable, "-m", "tests.chaos.rig.fetching", asked]
        with (self._folder / "fetching.log").open("ab") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *argv], cwd=ROOT, stdout=log, stderr=log
            )

    def kill(self, *, power: bool) -> None:
        """Have it killed and started again by the thread that waits; return when that is done, or it had ended."""
        done = threading.Event()
        self._wanted.put((power, done))
        while not done.wait(0.1) and not self._over.is_set():
            pass

    def wait(self) -> bool:
        """Return whether it has ended by itself, with the image on the engine.

        A child dies with the thread that started it (`--pdeathsig`), so this one does all starting.
        """
        deadline = time.monotonic() + PATIENCE_S
        try:
            while time.monotonic() < deadline:
                assert self._process is not None
                status = self._process.poll()
                if status is not None:
                    return status == 0
                with contextlib.suppress(queue.Empty):
                    power, done = self._wanted.get(timeout=0.05)
                    self._kill(power=power)
                    done.set()
            return False
        finally:
            self._over.set()

    def _kill(self, *, power: bool) -> None:
        assert self._process is not None
        if self._process.poll() is not None:
            return  # it has all it wants
        if power and self._disk is not None:
            cut_power(self._disk.mount)
        self._process.kill()
        self._process.wait()
        self.kills += 1
        if power and self._disk is not None:
            self._disk.remount()
            self._boots += 1
            self.power_cuts += 1
        self.start()

    def end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()


def by_skerry(folder: Path, image: BuiltImage, address: str, cuts: Cuts, *, into: Into, disk: Disk | None) -> Crossing:
    """Fetch the image by the worker's own means, for an engine."""
    port = free_port()
    began = time.monotonic()
    fetching: list[Fetching] = []

    def at_cut(number: int) -> None:
        if cuts.kill_each and number % cuts.kill_each == 0:
            fetching[0].kill(power=bool(cuts.power_each) and number % (cuts.kill_each * cuts.power_each) == 0)

    proxy = CuttingProxy(int(address.rpartition(":")[2]), bytes_per_s=BYTES_PER_S, next_cut=cuts.next, at_cut=at_cut)
    fetching.append(Fetching(folder, image, registry_port=proxy.port, port=port, url=into.url, disk=disk))
    client = docker_client(into.url)
    name = reference(f"127.0.0.1:{port}", "", image.image)
    try:
        fetching[0].start()
        arrived = fetching[0].wait() and bool(client.inspect_image(name))
    finally:
        fetching[0].end()
        proxy.close()
        remove_images(client, f"127.0.0.1:{port}")
        client.close()
    return Crossing(
        f"skerry, into {into.name}",
        arrived,
        sum(len(blob) for blob in image.blobs.values()),
        proxy.down_bytes,
        proxy.cuts,
        fetching[0].kills,
        fetching[0].power_cuts,
        round(time.monotonic() - began, 1),
    )


@contextlib.contextmanager
def filled_registry(folder: Path, image: BuiltImage) -> Iterator[str]:
    with registry(folder) as address:
        upload(address, image)
        yield address
