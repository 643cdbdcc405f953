"""A worker that dies by its own hand at a named point, and writes down every point that it passes.

`python -m tests.chaos.rig.crashing STATE --trace FILE --deliver FILE [--now] [--at POINT] [--nth N] [--after S]
[--cut MOUNT]`

Points are all changes to the engine and all steps of durable writing, as in `stop api:before` and `fsync
ledger/journal.new:after`, from the moment the new desired state is handed over. `--cut` makes the
file system under the state folder
lose everything that was not synced, as a power cut does (XFS_IOC_GOINGDOWN without flushing its log).
"""

from __future__ import annotations

import argparse
import fcntl
import functools
import json
import logging
import os
import signal
import struct
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from device.config import Paths, read_owner
from device.engine.docker import DockerEngine
from device.worker import Worker

CHANGES = (
    *("pull", "create_network", "remove_network", "create_volume", "remove_volume"),
    *("create", "start", "stop", "remove", "rename", "set_restart", "run_hook", "remove_image"),
)
GOING_DOWN = 0x8004587D  # XFS_IOC_GOINGDOWN of xfs_fs.h: _IOR('X', 125, uint32)
WITHOUT_LOG = struct.pack("I", 2)  # XFS_FSOP_GOING_FLAGS_NOLOGFLUSH


class Points:
    """Counts the points that are passed and ends the process at the wanted one."""

    def __init__(self, trace: Path, *, at: str, nth: int, cut: Path | None) -> None:
        self._trace = os.open(trace, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._at, self._nth, self._cut = at, nth, cut
        self._passed: Counter[str] = Counter()
        self._lock = threading.Lock()
        self.armed = False

    def passing(self, point: str) -> None:
        with self._lock:
            if not self.armed:
                return
            self._passed[point] += 1
            self.write(point)
            if point == self._at and self._passed[point] == self._nth:
                self.end()

    def end(self) -> None:
        """End this process here and now, and with it the power, if so asked."""
        self.write("killed")
        if self._cut is not None:
            cut_power(self._cut)
        os.kill(os.getpid(), signal.SIGKILL)

    def write(self, line: str) -> None:
        os.write(self._trace, line.encode() + b"\n")


def cut_power(mount: Path) -> None:
    """Make an XFS file system forget what was not synced; everything on it fails from here until it is mounted anew."""
    folder = os.open(mount, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    fcntl.ioctl(folder, GOING_DOWN, WITHOUT_LOG)
    os.close(folder)


def _watch_engine(points: Points) -> None:
    for name in CHANGES:
        if (real := getattr(DockerEngine, name, None)) is not None:
            setattr(DockerEngine, name, _around(points, name, real))


def _around(points: Points, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(real)
    def call(*arguments: Any, **keywords: Any) -> Any:
        what = f"{name} {_noun(arguments[1:])}".strip()
        points.passing(f"{what}:before")
        result = real(*arguments, **keywords)
        points.passing(f"{what}:after")
        return result

    return call


_SERVICE_OF: dict[str, str] = {}


def _noun(arguments: tuple[Any, ...]) -> str:
    """Return a name for what a call is about that is the same in every run."""
    if not arguments:
        return ""
    first = arguments[0]
    if hasattr(first, "service") and hasattr(first, "name"):
        _SERVICE_OF[str(first.name)] = str(first.service)  # what it is started by
    for attribute in ("service", "resource"):
        if hasattr(first, attribute):
            return str(getattr(first, attribute))
    return "image" if "@" in str(first) else _SERVICE_OF.get(str(first), "")


def _learn_services() -> None:
    """Learn from every list of containers which service an id belongs to."""
    real = DockerEngine.containers

    @functools.wraps(real)
    def containers(self: DockerEngine) -> Any:
        seen = real(self)
        _SERVICE_OF.update({container.id: container.service for container in seen})
        return seen

    DockerEngine.containers = containers  # type: ignore[method-assign]


def _watch_files(points: Points, state: Path) -> None:
    real_fsync, real_rename = os.fsync, os.rename

    def fsync(descriptor: Any) -> None:
        number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
        name = _inside(state, os.readlink(f"/proc/self/fd/{number}"))
        if name:
            points.passing(f"fsync {name}:before")
        real_fsync(descriptor)
        if name:
            points.passing(f"fsync {name}:after")

    def rename(source: Any, target: Any, **keywords: Any) -> None:
        name = _inside(state, os.fspath(target))
        if name:
            points.passing(f"rename {name}:before")
        real_rename(source, target, **keywords)
        if name:
            points.passing(f"rename {name}:after")

    os.fsync = fsync  # type: ignore[assignment]
    os.rename = rename  # type: ignore[assignment]


def _inside(state: Path, path: str) -> str:
    """Return the path below the state folder, or an empty text for files of others and of telemetry."""
    if not path.startswith(f"{state}/"):
        return ""
    name = path.removeprefix(f"{state}/")
    return "" if name.startswith("telemetry") else name


def main() -> int:
    """Run a worker without a link until it is told to end, or ends itself."""
    parser = argparse.ArgumentParser()
    parser.add_argument("state", type=Path)
    parser.add_argument("--trace", type=Path, required=True)
    parser.add_argument("--topic", default="")
    parser.add_argument("--deliver", type=Path, required=True, help="the sealed desired state, handed over at SIGUSR1")
    parser.add_argument("--now", action="store_true", help="hand it over at once")
    parser.add_argument("--after", type=float, default=0.0, help="seconds after which it dies, wherever it is")
    parser.add_argument("--at", default="")
    parser.add_argument("--nth", type=int, default=1)
    parser.add_argument("--cut", type=Path)
    asked = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(threadName)s %(message)s")
    points = Points(asked.trace, at=asked.at, nth=asked.nth, cut=asked.cut)
    _watch_engine(points)
    _learn_services()
    paths = Paths(asked.state)
    _watch_files(points, paths.state)
    paths.prepare()
    worker = Worker(paths, read_owner(paths.owner))
    _unlink(worker)
    _tell_reports(worker, points)
    signal.signal(signal.SIGTERM, lambda *_: worker.stop())

    def deliver(*_: Any) -> None:
        points.armed = True
        worker.message(asked.topic, asked.deliver.read_bytes())

    signal.signal(signal.SIGUSR1, deliver)
    if asked.now:
        deliver()
    if asked.after:
        points.armed = True
        threading.Timer(asked.after, points.end).start()
    return worker.run()


def _unlink(worker: Worker) -> None:
    """Leave the worker without a link, and let it fetch images from a registry that asks for no token."""
    worker.session.start = worker.session.stop = lambda: None  # type: ignore[method-assign]
    worker.images.sources.home.token = lambda repository, fresh: "none"


def _tell_reports(worker: Worker, points: Points) -> None:
    real = worker.reconciler.report

    def report(said: Any) -> None:
        states = {status.name: str(status.state) for status in said.instances}
        points.write("report " + json.dumps({"states": states, "generation": said.desired.generation}))
        real(said)

    worker.reconciler.report = report


if __name__ == "__main__":
    sys.exit(main())
