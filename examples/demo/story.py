"""The story of the demo, step by step, on the world's real processes."""

from __future__ import annotations

import io
import secrets
import socket
import subprocess
import tarfile
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError

from examples.demo.audit import Audit, audit, stored_rows
from examples.demo.leftovers import Snapshot, look
from examples.demo.link import Link
from examples.demo.timeline import Timeline
from examples.demo.world import (
    Cli,
    Cloud,
    Device,
    WorldError,
    hello_folder,
    read_from_container,
    remove_images,
    wait_until,
)

CUT_S = 20.0
CONVERGE_S = 60.0
STREAM = "telemetry:hello"


@dataclass
class Result:
    """What the JSON object says, as far as the story has come."""

    release: str = ""
    converge_seconds: float = 0.0
    link_cut_seconds: float = 0.0
    backlog_at_end_of_cut: int = 0
    cut_held: bool = False
    worker_kills: int = 0
    audit: Audit = field(default_factory=lambda: Audit(0, 0, 0, 0))
    finished: bool = False


class Story:
    """Tells the story in one state folder; `end` stops and removes everything it began."""

    def __init__(self, state: Path, timeline: Timeline) -> None:
        self.state = state
        self.mark = secrets.token_hex(8)
        self.timeline = timeline
        self.result = Result()
        self.cloud = Cloud(state / "cloud", mark=self.mark, keepalive_s=10)
        self.cli = Cli(state / "home", mark=self.mark)
        self.device: Device | None = None
        self._watch: subprocess.Popen[bytes] | None = None
        self.page_port = _free_port()
        self._before = look(mark=self.mark, device="", registry="", state=state)

    # --- the steps

    def tell(self) -> None:
        """Tell it whole; raises at the first thing that does not hold."""
        step = self.timeline.step
        with step("cloud", "the cloud starts: API, database, MQTT broker with TLS, private registry"):
            self.cloud.init()
            self.cloud.start()
            facts = self.cloud.facts
            self.timeline.say(f"API {facts['api']}, broker {facts['broker']}, registry {facts['registry']}")
        with step("login", "an operator logs in"):
            self.cli.login(self.cloud)
            self._watch = self.cli.popen("watch", output=self.state / "watch.log")
        with step("enroll", "a device enrols with a token and its worker starts"):
            self._enroll()
        with step("push", "a developer builds the hello app and pushes it"):
            self.result.release = self._push({"GREETING": "hello from a skerry", "REVISION": "1"})
        with step("deploy", "the release is deployed to the device's fleet"):
            self.cli("deploy", "hello", "--wait", "--timeout", str(int(CONVERGE_S)))
            self.timeline.say(f"the page answers: {self._page()}")
        with step("cut", f"the link is cut for {CUT_S:.0f} s; samples go on, a second release is deployed meanwhile"):
            self._cut()
        with step("restore", "the link is restored: the device converges and the backlog arrives"):
            self._restore()
        with step("kill", "the worker is killed in the middle of an update and started again"):
            self._kill_in_an_update()
        with step("proof", "what the app wrote is compared with what the cloud stored"):
            self._prove()
        self._show_watch()
        self.result.finished = True

    def _enroll(self) -> None:
        token = self.cli("device", "enroll-token")["token"]
        device = Device(self.state / "device", broker_port=self.cloud.broker_port, mark=self.mark)
        self.device = device
        device.enroll(token, name="pump-1")
        device.process.start()
        self._until(lambda: self._status()["online"], "the device is online")
        self.timeline.say(f"device {device.id}, named pump-1")

    def _push(self, variables: dict[str, str]) -> str:
        folder = hello_folder(self.state / "hello")
        environment = variables | {"HELLO_PORT": str(self.page_port)}
        release = str(self.cli("app", "push", str(folder), environment=environment)["release"])
        self.timeline.say(f"release {release}")
        return release

    def _cut(self) -> None:
        link = self._link()
        link.cut()
        began = time.monotonic()
        passed, turned_away = link.bytes_passed, link.turned_away
        stored = self._stored()
        self.result.release = self._push({"GREETING": "the second release", "REVISION": "1"})
        self.cli("deploy", "hello")
        while time.monotonic() - began < CUT_S:
            time.sleep(0.2)
        self.result.link_cut_seconds = round(time.monotonic() - began, 1)
        self.result.backlog_at_end_of_cut = self._written() - self._stored()
        self.result.cut_held = (
            link.bytes_passed == passed and link.turned_away > turned_away and self._stored() == stored
        )
        self.timeline.say(
            f"{self.result.backlog_at_end_of_cut} samples wait on the device; "
            f"{link.turned_away - turned_away} connections were turned away, "
            f"{link.bytes_passed - passed} bytes passed; the page still says: {self._page()}"
        )
        if not self.result.cut_held or self.result.backlog_at_end_of_cut <= 0:
            raise WorldError("the cut did not hold")

    def _restore(self) -> None:
        written = self._written()
        began = time.monotonic()
        self._link().restore()
        self._until(lambda: "second release" in self._page(), "the second release answers")
        self._until(lambda: self._status_of_app() == "converged", "the cloud shows it converged")
        self.result.converge_seconds = round(time.monotonic() - began, 2)
        self._until(lambda: self._stored() >= written, "the backlog is stored")
        self.timeline.say(f"converged {self.result.converge_seconds} s after the link came back: {self._page()}")

    def _kill_in_an_update(self) -> None:
        device = self._device()
        settled = {"sensor": "healthy", "web": "healthy"}
        self.result.release = self._push({"GREETING": "the third release", "REVISION": "2"})
        self.cli("deploy", "hello")
        self._until(lambda: device.containers() != settled, "the update has begun")
        device.process.kill()
        self.result.worker_kills += 1
        self.timeline.say(f"killed; the app is {device.containers() or 'gone'}")
        device.process.start()
        self._until(
            lambda: self._status_of_app() == "converged" and "third release" in self._page(), "the update is finished"
        )
        self.timeline.say(f"finished: {self._page()}")

    def _prove(self) -> None:
        """Compare at a standstill: the sensor is paused between two samples, and let go again."""
        client = docker.APIClient(version="auto")
        sensor = self._sensor()
        try:
            for _ in range(20):
                client.pause(sensor)
                self.result.audit = self._audited(client, sensor)
                if self.result.audit.holds:
                    break
                client.unpause(sensor)
                time.sleep(0.3)
        finally:
            try:
                client.unpause(sensor)
            except APIError:
                self.timeline.say("the sensor was not paused any more")
            client.close()
        found = self.result.audit
        self.timeline.say(
            f"{found.written} written, {found.stored} stored, {found.lost} lost, {found.duplicated} duplicated"
        )
        if not found.holds:
            raise WorldError("what was written and what was stored differ")

    def _audited(self, client: docker.APIClient, sensor: str) -> Audit:
        written = _count_in_archive(client, sensor)
        deadline = time.monotonic() + 15.0
        while self._stored() < written and time.monotonic() < deadline:
            time.sleep(0.1)
        return audit(self.cloud.database, device=self._device().id, stream=STREAM, written=written)

    def _show_watch(self) -> None:
        self.timeline.say("the status stream, as `skerry watch` showed it:")
        for line in (self.state / "watch.log").read_text(errors="replace").splitlines()[-24:]:
            self.timeline.say(f"  {line}")

    # --- looking

    def _device(self) -> Device:
        if self.device is None:
            raise WorldError("no device has enrolled")
        return self.device

    def _link(self) -> Link:
        return self._device().link

    def _status(self) -> dict[str, Any]:
        answer: dict[str, Any] = self.cli("device", "show", self._device().id)
        return answer

    def _status_of_app(self) -> str:
        device = self._status()
        status, desired, accepted = device.get("status"), device.get("desired"), device.get("accepted")
        if not status or not desired or not accepted or accepted["generation"] != desired["generation"]:
            return "behind"
        if status["accepted"]["generation"] != desired["generation"]:
            return "behind"
        return next((str(i["state"]) for i in status["instances"]), "absent")

    def _page(self) -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.page_port}/", timeout=2) as answer:
                text = bytes(answer.read(10_000)).decode()
        except (OSError, urllib.error.URLError):
            return "(no answer)"
        return text.partition("<h1>")[2].partition("</h1>")[0]

    def _sensor(self) -> str:
        engine = self._device().engine()
        try:
            return next(c.id for c in engine.observe().containers if c.service == "sensor")
        finally:
            engine.close()

    def _written(self) -> int:
        return int(read_from_container(self._sensor(), "/data/count"))

    def _stored(self) -> int:
        return stored_rows(self.cloud.database, device=self._device().id, stream=STREAM)

    def _until(self, condition: Any, what: str) -> None:
        try:
            wait_until(condition, timeout_s=CONVERGE_S, what=what)
        except WorldError as error:
            logs = [self.cloud.process.tail(8)] + ([self.device.process.tail(12)] if self.device else [])
            raise WorldError(f"{error}\n" + "\n".join(logs)) from error

    # --- the end

    def end(self) -> list[str]:
        """Stop and remove everything; return what is left behind, which should be nothing."""
        registry = str(self.cloud.facts.get("registry", ""))
        if self._watch is not None:
            self._watch.terminate()
            self._watch.wait(10)
        if self.device is not None:
            self.device.stop()
            self.device.purge()
        self.cloud.process.stop()
        remove_images(self.leftovers(registry).images - self._before.images)
        return self.leftovers(registry).beyond(self._before)

    def leftovers(self, registry: str) -> Snapshot:
        device = self.device.id if self.device is not None and self.device.identity else "none"
        return look(mark=self.mark, device=device, registry=registry, state=self.state)


def _count_in_archive(client: docker.APIClient, container: str) -> int:
    """Return the app's own count, read from its volume without running anything in the container."""
    chunks, _ = client.get_archive(container, "/data/count")
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        member = archive.extractfile("count")
        assert member is not None
        return int(member.read())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
