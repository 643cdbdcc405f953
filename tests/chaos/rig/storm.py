"""Faults in an order drawn from a seed, each at a point of what the apps write: links cut, parts killed, power cut."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.chaos.rig.crashing import cut_power
from tests.chaos.rig.shore import App, Shore
from tests.chaos.rig.xfs import Disk

OUTAGE_S = (0.02, 0.5)  # of a cut link; the wait before the next try to connect comes on top
SECONDS_A_FAULT = 2.5  # what the apps' pace is made for
AT_ONCE = 0.25  # of the faults do not wait until the one before is over


@dataclass(frozen=True)
class Fault:
    """What happens once each app has written so much; `share` draws what the fault itself leaves open."""

    kind: str
    at: int
    share: float
    waits: bool


@dataclass
class Storm:
    """`counts` tells what has happened, `power_cuts` from when until nothing ran any more, by the monotonic clock."""

    shore: Shore
    disk: Disk
    counts: Counter[str] = field(default_factory=Counter)
    power_cuts: list[tuple[float, float]] = field(default_factory=list)
    _wanted: dict[str, int] = field(default_factory=dict)

    def blow(self, faults: Sequence[Fault], *, samples: int, seed: int) -> None:
        """Let each app write its part of `samples`, and do the faults meanwhile."""
        apps = self.shore.apps
        each = samples // len(apps)
        self._wanted = {app.name: self.shore.acked(app) + each for app in apps}
        rate = max(200.0, each / (SECONDS_A_FAULT * max(1, len(faults))))
        starts = {app.name: app.next - 1 for app in apps}
        for place, app in enumerate(apps):
            self.shore.start_writer(app, rate=rate, seed=seed + place)
        for place, fault in enumerate(faults):
            ahead = faults[place + 2].at if place + 2 < len(faults) else each
            for app in apps:
                app.allow(starts[app.name] + ahead)
            for app in apps:
                self.shore.wait_written(app, starts[app.name] + fault.at)
            self._do(fault, place, len(faults))
        for app in apps:
            self._finish(app, starts[app.name] + each)

    def _finish(self, app: App, last: int) -> None:
        """Have it write until so many are acknowledged: what was refused or is unsure is made up for by later ones."""
        app.allow(last)
        self.shore.wait_written(app, last)
        while (missing := self._wanted[app.name] - self.shore.acked(app)) > 0:
            upto = self.shore.written(app) + missing
            app.allow(upto)
            self.shore.wait_written(app, upto)
        self.shore.stop_writer(app)

    def _do(self, fault: Fault, place: int, of: int) -> None:
        began = time.monotonic()
        if fault.waits:
            self.shore.stage.until(self._calm, f"the device is connected before fault {place}", timeout_s=120.0)
        calm = time.monotonic()
        getattr(self, f"_{fault.kind}")(fault)
        self.counts[fault.kind] += 1
        ended = time.monotonic()
        print(
            f"{place + 1:4} of {of} {fault.kind:12} at {fault.at:8} waited {calm - began:5.1f} s, took"
            f" {ended - calm:5.1f} s",
            file=sys.stderr,
            flush=True,
        )

    def _calm(self) -> bool:
        return self.shore.device.link.connected and self.shore.intake_answers()

    # --- the faults

    def _cut(self, fault: Fault) -> None:
        self.shore.device.link.cut()
        time.sleep(OUTAGE_S[0] + fault.share * (OUTAGE_S[1] - OUTAGE_S[0]))  # the fault itself: an outage has a length
        self.shore.device.link.restore()

    def _worker(self, fault: Fault) -> None:
        self.shore.device.process.kill()
        self.shore.device.process.start()

    def _redis(self, fault: Fault) -> None:
        self._kill(self.shore.redis("store" if fault.share < 0.5 else "intake"))

    def _broker(self, fault: Fault) -> None:
        self._kill("mosquitto.conf")

    def _broker_files(self, fault: Fault) -> None:
        """Kill the broker and delete its files, before the cloud can start it again."""
        cloud = self.shore.stage.child_pid("cloud.main serve")
        pid = self._wait_for("mosquitto.conf")
        os.kill(cloud, signal.SIGSTOP)
        try:
            os.kill(pid, signal.SIGKILL)
            for file in (self.shore.stage.cloud.state / "broker").glob("mosquitto.db*"):
                file.unlink()
        finally:
            os.kill(cloud, signal.SIGCONT)

    def _cloud(self, fault: Fault) -> None:
        self.shore.stage.cloud.process.kill()
        self.shore.stage.cloud.start()

    def _power(self, fault: Fault) -> None:
        """Take the power from the device: every process of it at one instant, and what was not synced.

        The worker stands still first, as its end would be a polite one for its servers; nothing runs any more when the
        file system goes, as a server that outlives its disk goes on answering.
        """
        device = self.shore.device.process
        worker = self.shore.stage.child_pid(f"device.running {self.disk.mount}")
        os.kill(worker, signal.SIGSTOP)
        began = time.monotonic()
        for pid in _with(self.disk.mount) - {worker}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        cut_power(self.disk.mount)
        self.power_cuts.append((began, time.monotonic()))
        device.kill()
        self.disk.remount()
        device.start()

    def _kill(self, needle: str) -> None:
        os.kill(self._wait_for(needle), signal.SIGKILL)

    def _wait_for(self, needle: str) -> int:
        self.shore.stage.until(lambda: self.shore.stage.child_pid(needle), f"{needle} runs", timeout_s=60.0)
        return self.shore.stage.child_pid(needle)


def drawn(counts: Mapping[str, int], *, samples: int, seed: int) -> list[Fault]:
    """Return faults in an order and at points drawn from the seed; `samples` is what one app writes."""
    random = Random(seed)  # noqa: S311 - a story that can be told again, not a secret
    kinds = [kind for kind, count in counts.items() for _ in range(count)]
    random.shuffle(kinds)
    points = sorted(random.randrange(1, max(2, samples)) for _ in kinds)
    return [
        Fault(kind, at, random.random(), kind == "cut" or random.random() >= AT_ONCE)
        for kind, at in zip(kinds, points, strict=True)
    ]


def _with(folder: Path) -> set[int]:
    """Return the processes whose command line names the folder: but for the writers, which are not the device."""
    found = set()
    for each in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (each / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if str(folder) in command and "tests.chaos" not in command:
                found.add(int(each.name))
    return found
