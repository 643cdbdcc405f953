"""One lonely device on the real engine, and what a story does to it: update, kill at a point, recover, be judged."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
from docker.errors import DockerException

from device.engine.docker import DockerEngine
from tests.chaos.rig import judge as judging
from tests.chaos.rig.lonely import REPOSITORY, SERVICES, LonelyDevice, three_services
from tests.chaos.rig.xfs import Disk
from tests.harness.engine import docker_client, push_image, registry, remove_everything, remove_images

PATIENCE_S = 90.0
FINAL = ("converged", "failed", "degraded")


@dataclass(frozen=True)
class Point:
    """A place in an update: the `nth` time that `name` is passed."""

    name: str
    nth: int = 1

    def __str__(self) -> str:
        return f"{self.name} #{self.nth}"


@dataclass(frozen=True)
class Outcome:
    """What became of one update with a kill in it. `fault` is empty when all was as promised."""

    point: str
    landed: bool
    recovered: str
    finally_: str
    fault: str = ""


class Island:
    """The device, its images in a registry, and its worker process. `disk` is the file system that power cuts hit."""

    def __init__(self, folder: Path, *, address: str, client: docker.APIClient, disk: Disk | None) -> None:
        self._folder = folder
        self._client = client
        self._disk = disk
        self.device = LonelyDevice((disk.mount if disk else folder) / "d", registry=address)
        self._trace = folder / "trace"
        self._letter = folder / "desired"
        self._log = folder / "worker.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._engine = judging.engine_socket()
        self.images = {
            name: push_image(client, address, REPOSITORY, name.encode()) for name in ("one", "two", "broken")
        }
        self.ids: dict[str, str] = {}
        for name, image in self.images.items():
            self._pull(name)
            self.ids[name] = judging.image_id(image, path=self._engine)
        self.running = ""
        self.sabotaged = False  # a fault of our own making after every recovery: then each must be noticed
        self._volumes: list[str] = []

    # --- deeds

    def begin(self) -> None:
        """Enrol, and bring release `one` up."""
        self.device.settle_in()
        outcome = self.update("one", None)
        if outcome.fault:
            raise AssertionError(f"the first release does not come up: {outcome.fault}\n{self.tail()}")
        self._volumes = judging.volumes(self.device.ref.device, path=self._engine)

    def passed(self, to: str) -> list[Point]:
        """Update without a kill; return every point that was passed."""
        outcome = self.update(to, None)
        if outcome.fault:
            raise AssertionError(f"an update without any kill: {outcome.fault}\n{self.tail()}")
        seen: Counter[str] = Counter()
        points = []
        for line in self._lines():
            if not line.startswith(("report ", "killed")):
                seen[line] += 1
                points.append(Point(line, seen[line]))
        return points

    def update(self, to: str, point: Point | None, *, after_s: float = 0.0) -> Outcome:
        """Hand a new desired state over, kill at `point` or after a time, recover, and be judged twice.

        The release that runs must be wholly the old or the new one once the worker has come back and settled; and
        once the state was handed over again, the new one, or the old one where the new is broken.
        """
        old = self.running
        expected = old if to == "broken" else to
        app = three_services(self.device.instance, self.images[to].partition("@")[2], broken=to == "broken")
        sealed = self.device.next_state(app)
        self._letter.write_bytes(sealed)
        self._forget_image(to)
        self._trace.unlink(missing_ok=True)
        where = str(point) if point else (f"after {after_s:.3f} s" if after_s else "none")
        self._start(point=point, after_s=after_s, now=True)
        generation = self.device.generation
        landed = self._until_dead_or(lambda: self._settled(generation))
        if landed and self._disk is not None:
            self._disk.remount()
        recovered, fault = expected, ""
        if landed:
            self._trace.unlink(missing_ok=True)
            self._start()
            settled = self._until_dead_or(lambda: self._settled(None))
            with self._sabotage() if self.sabotaged else contextlib.nullcontext():
                found = self.verdict()
            recovered, fault = found.release, found.why
            if settled:
                fault = f"the worker ended while it recovered: {self.tail(3)}"
            elif not fault and found.release not in (old, to if to != "broken" else old):
                fault = f"{found.release} runs, neither {old} nor {to}"
            self._deliver()
            self._until_dead_or(lambda: self._settled(generation))
        final = self.verdict()
        if not fault and (final.why or final.release != expected):
            fault = f"in the end: {final.release} {final.why} instead of {expected}"
        if not fault and self._volumes and judging.volumes(self.device.ref.device, path=self._engine) != self._volumes:
            fault = "a volume is gone"
        self._stop()
        self.running = final.release
        return Outcome(where, landed, recovered, final.release, fault)

    def end(self) -> None:
        """Remove everything of the device from the engine."""
        self._stop()
        engine = DockerEngine(device=self.device.ref.device)
        remove_everything(engine)
        engine.close()

    def tail(self, lines: int = 30) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-lines:]) if self._log.exists() else ""

    # --- looking

    def verdict(self) -> judging.Verdict:
        """Return what runs now, as the judge sees it."""
        return judging.judge(self.device.ref.device, SERVICES, self.ids, path=self._engine)

    def container(self, service: str) -> str:
        labels = [f"{judging.LABEL}={self.device.ref.device}", f"{judging.SERVICE_LABEL}={service}"]
        return str(self._client.containers(all=True, filters={"label": labels})[0]["Id"])

    @contextlib.contextmanager
    def _sabotage(self) -> Iterator[None]:
        """Plant a mixture while the worker, which would mend it, stands still."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            with self.planted(service="api", image="broken"):  # the one that never runs for long
                yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    @contextlib.contextmanager
    def planted(self, *, service: str, image: str, beside: bool = False) -> Iterator[None]:
        """Put a container of another image in a service's place, or beside it, while no worker is there to mend it."""
        real = self.container(service)
        self._pull(image)
        labels = self._client.inspect_container(real)["Config"]["Labels"]
        made = self._client.create_container(self.ids[image], ["/bin/busybox", "sleep", "60"], labels=labels)["Id"]
        self._client.start(made)
        if not beside:
            self._client.remove_container(real, force=True)
        try:
            yield
        finally:
            self._client.remove_container(made, force=True)

    def _settled(self, generation: int | None) -> bool:
        """Return whether the newest report is final, of `generation` where one is named."""
        reports = [line for line in self._lines() if line.startswith("report ")]
        if not reports:
            return False
        told = json.loads(reports[-1].removeprefix("report "))
        if generation is not None and told["generation"] != generation:
            return False
        return bool(told["states"]) and set(told["states"].values()) <= set(FINAL) and self.verdict().whole

    def _lines(self) -> list[str]:
        return self._trace.read_text().splitlines() if self._trace.exists() else []

    def _until_dead_or(self, condition: Callable[[], bool]) -> bool:
        """Wait for `condition` or the end of the worker; return whether it ended."""
        deadline = time.monotonic() + PATIENCE_S
        assert self._process is not None
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                return True
            if condition():
                return False
            time.sleep(0.05)
        return False  # what is judged next says what is wrong

    # --- the process

    def _start(self, *, point: Point | None = None, after_s: float = 0.0, now: bool = False) -> None:
        arguments = ["--trace", str(self._trace), "--deliver", str(self._letter), "--topic", self.device.topic]
        if now:
            arguments.append("--now")
        if point is not None:
            arguments += ["--at", point.name, "--nth", str(point.nth)]
        if after_s:
            arguments += ["--after", str(after_s)]
        if self._disk is not None:
            arguments += ["--cut", str(self._disk.mount)]
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "tests.chaos.rig.crashing"),
                    *(str(self.device.paths.state), *arguments),
                ],
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def _deliver(self) -> None:
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGUSR1)

    def _stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _pull(self, name: str) -> None:
        repository, _, digest = self.images[name].partition("@")
        self._client.pull(repository, tag=digest, auth_config={"registrytoken": "none"})

    def _forget_image(self, name: str) -> None:
        with contextlib.suppress(DockerException):  # the running release's image is in use, and stays
            self._client.remove_image(self.images[name])


@contextlib.contextmanager
def island(folder: Path, *, disk: Disk | None = None) -> Iterator[Island]:
    """Yield an island with release `one` up; take it away again."""
    client = docker_client()
    with registry(folder) as address:
        made = Island(folder, address=address, client=client, disk=disk)
        try:
            made.begin()
            yield made
        finally:
            made.end()
            remove_images(client, address)
            client.close()
