"""A stage for scenarios: a cloud, a device on a link, and the hello app, with what a story wants to ask of them."""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import docker
import pytest

from broker.transport import Endpoint
from cloud.cli import credentials
from cloud.cli.client import pinned
from examples.demo.audit import Audit, audit, stored_rows
from examples.demo.world import Cli, Cloud, Device, WorldError, hello_folder, image_names, remove_images
from tests.harness.engine import docker_client
from tests.harness.mqtt_proxy import MqttProxy
from tests.harness.servers import free_port, program

STREAM = "telemetry:hello"
SETTLED = {"sensor": "healthy", "web": "healthy"}
PATIENCE_S = 60.0


class Stage:
    """One cloud with one device. `proxied` puts an MQTT-aware proxy on the device's link; `state` is its folder."""

    def __init__(self, folder: Path, *, keepalive_s: int = 2, proxied: bool = False, state: Path | None = None) -> None:
        for name in ("mosquitto", "redis-server", "docker-registry", "busybox"):
            program(name)
        docker_client().close()
        self.folder = folder
        self.mark = secrets.token_hex(8)
        self.cloud = Cloud(folder / "cloud", mark=self.mark, keepalive_s=keepalive_s)
        self.cli = Cli(folder / "home", mark=self.mark)
        self.page_port = free_port()
        self._proxied = proxied
        self._state = state or folder / "d0"
        self.proxy: MqttProxy | None = None
        self.devices: list[Device] = []

    def begin(self) -> None:
        """Start the cloud, log in, enrol one device and start its worker."""
        self.cloud.init()
        self.cloud.start()
        self.cli.login(self.cloud)
        port = self.cloud.broker_port
        state = self._state
        if self._proxied:
            self.proxy = MqttProxy(broker_port=port, pki=self.cloud.state / "pki", device=state)
            port = self.proxy.port
        self.add_device(state, broker_port=port)

    def add_device(self, state: Path, *, broker_port: int, cli: Cli | None = None, name: str = "pump-1") -> Device:
        device = Device(state, broker_port=broker_port, mark=self.mark, log=self.folder / f"{state.name}.log")
        self.devices.append(device)
        device.enroll((cli or self.cli)("device", "enroll-token")["token"], name=name)
        device.process.start()
        return device

    @property
    def device(self) -> Device:
        return self.devices[0]

    # --- deeds

    def push(
        self, *, greeting: str = "one", revision: str = "1", image: str | None = None, cli: Cli | None = None
    ) -> str:
        folder = hello_folder(self.folder / "hello")
        if image is not None:  # another one than before
            with (folder / "web.sh").open("a") as script:
                script.write(f"# {image}\n")
        variables = {"GREETING": greeting, "REVISION": revision, "HELLO_PORT": str(self.page_port)}
        return str((cli or self.cli)("app", "push", str(folder), environment=variables)["release"])

    def deploy(self, *, greeting: str = "one", revision: str = "1", image: str | None = None) -> str:
        """Push and deploy a release; do not wait."""
        release = self.push(greeting=greeting, revision=revision, image=image)
        self.cli("deploy", "hello")
        return release

    def deploy_and_settle(self, *, greeting: str = "one", revision: str = "1") -> str:
        release = self.deploy(greeting=greeting, revision=revision)
        self.settle(greeting)
        return release

    def settle(self, greeting: str, *, timeout_s: float = PATIENCE_S) -> None:
        """Wait until the app runs as `greeting` and the cloud knows."""
        self.until(lambda: self.page() == greeting, f"the page says {greeting!r}", timeout_s=timeout_s)
        self.until(lambda: self.device.containers() == SETTLED, "both services are healthy", timeout_s=timeout_s)
        self.until(lambda: self.app_state() == "converged", "the cloud shows it converged", timeout_s=timeout_s)

    # --- looking

    def api(self, path: str) -> dict[str, Any]:
        """Return what the cloud's API answers to a GET: what is asked ten times a second costs no process each time."""
        login = credentials.read(self.folder / "home", credentials.DEFAULT_NAME)
        request = urllib.request.Request(  # noqa: S310 - the scheme is ours
            login.url + path, headers={"Authorization": f"Bearer {login.token}"}
        )
        try:
            with urllib.request.urlopen(request, timeout=20, context=pinned(login.ca)) as answer:  # noqa: S310
                found: dict[str, Any] = json.loads(answer.read())
                return found
        except OSError as error:
            raise WorldError(f"GET {path}: {error}") from error

    def show(self, device: Device | None = None) -> dict[str, Any]:
        return self.api(f"/v1/devices/{(device or self.device).id}")

    def app_state(self) -> str:
        """Return the state of the app at the newest desired state, or why it cannot be told."""
        shown = self.show()
        status, desired = shown.get("status"), shown.get("desired")
        if not status or not desired or not status.get("accepted"):
            return "nothing reported"
        if status["accepted"]["generation"] != desired["generation"]:
            return "behind"
        return next((str(item["state"]) for item in status["instances"]), "absent")

    def condition(self, kind: str) -> dict[str, Any]:
        status = self.show().get("status") or {}
        return next((dict(c) for c in status.get("conditions", []) if c["type"] == kind), {})

    def page(self) -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.page_port}/", timeout=2) as answer:
                text = bytes(answer.read(10_000)).decode()
        except (OSError, urllib.error.URLError):
            return "(no answer)"
        return text.partition("<h1>")[2].partition("</h1>")[0]

    def written(self) -> int:
        """Return what the app itself counted, read from its volume without running anything in it."""
        import io
        import tarfile

        engine = self.device.engine()
        sensor = next(c.id for c in engine.observe().containers if c.service == "sensor")
        engine.close()
        client = docker_client()
        try:
            chunks, _ = client.get_archive(sensor, "/data/count")
        except docker.errors.NotFound as error:  # it was replaced in between
            raise WorldError(str(error)) from error
        finally:
            client.close()
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
            member = archive.extractfile("count")
            assert member is not None
            return int(member.read())

    def stored(self) -> int:
        return stored_rows(self.cloud.database, device=self.device.id, stream=STREAM)

    def audited(self) -> Audit:
        """Compare at a standstill: the sensor is paused between two samples, and let go again."""
        engine = self.device.engine()
        sensor = next(c.id for c in engine.observe().containers if c.service == "sensor")
        engine.close()
        client: docker.APIClient = docker_client()
        found = Audit(0, 0, 0, 0)
        for _ in range(20):
            if not _paused(client, sensor):
                continue
            written = self.written()
            deadline = time.monotonic() + PATIENCE_S
            while self.stored() < written and time.monotonic() < deadline:
                time.sleep(0.1)
            found = audit(self.cloud.database, device=self.device.id, stream=STREAM, written=written)
            client.unpause(sensor)
            if found.holds:
                break
            time.sleep(0.3)  # a pause between sending and counting: let the app finish and look again
        client.close()
        return found

    def audited_with_gaps(self) -> tuple[int, int]:
        """Return how many numbers of any epoch are neither stored nor in a gap, and how many are stored twice."""
        stored, named = self._ranges("batches"), self._ranges("gaps")
        twice = _overlaps(stored)
        ends: dict[int, int] = {}
        missing = 0
        for epoch, first, last in sorted(stored + named):
            missing += max(0, first - ends.get(epoch, 0) - 1)
            ends[epoch] = max(ends.get(epoch, 0), last)
        return missing, twice

    def covered(self) -> int:
        """Return how many numbers of the app's stream the database holds, as samples or as gaps."""
        return sum(last - first + 1 for _, first, last in self._ranges("batches") + self._ranges("gaps"))

    def gap_causes(self) -> set[str]:
        connection = sqlite3.connect(f"file:{self.cloud.database}?mode=ro", uri=True)
        rows = connection.execute("SELECT DISTINCT cause FROM gaps WHERE device = ?", (self.device.id,)).fetchall()
        connection.close()
        return {str(cause) for (cause,) in rows}

    def _ranges(self, table: str) -> list[tuple[int, int, int]]:
        only = " AND payload != x''" if table == "batches" else ""
        connection = sqlite3.connect(f"file:{self.cloud.database}?mode=ro", uri=True)
        rows = connection.execute(
            f"SELECT epoch, first, last FROM {table} WHERE device = ? AND stream = ?{only}",  # noqa: S608 - our words
            (self.device.id, STREAM),
        ).fetchall()
        connection.close()
        return [(int(epoch), int(first), int(last)) for epoch, first, last in rows]

    def until(self, condition: Callable[[], object], what: str, *, timeout_s: float = PATIENCE_S) -> None:
        """Wait for a state; a failure shows the logs of both sides."""
        deadline = time.monotonic() + timeout_s
        while not _holds(condition):
            if time.monotonic() > deadline:
                logs = "\n".join(
                    [f"cloud: {self.cloud.process.tail(25)}"]
                    + [f"device {device.id}: {device.process.tail(25)}" for device in self.devices]
                )
                pytest.fail(f"after {timeout_s:.0f} s still not: {what}\n{logs}")
            time.sleep(0.1)

    def service_endpoint(self) -> Endpoint:
        host, _, port = str(self.cloud.facts["service_broker"]).rpartition(":")
        return Endpoint(host, int(port))

    def child_pid(self, needle: str) -> int:
        """Return the process whose command line names something in this stage's folder that ends with `needle`."""
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if str(self.folder) in command and needle in command:
                return int(folder.name)
        raise LookupError(f"no process of this stage runs {needle!r}")

    def end(self) -> None:
        registry = str(self.cloud.facts.get("registry", ""))
        for device in self.devices:
            device.stop()
            device.purge()
        if self.proxy is not None:
            self.proxy.close()
        self.cloud.process.stop()
        if registry:  # what was built goes when all tests are done: others build the same
            remove_images(image_names(f"{registry}/"), layers=False)


def _paused(client: docker.APIClient, container: str) -> bool:
    """Pause a container; return whether it was: a process that is just being started cannot be frozen."""
    try:
        client.pause(container)
    except docker.errors.APIError as error:
        if "unable to freeze" not in str(error):
            raise
        return False
    return True


def _overlaps(ranges: list[tuple[int, int, int]]) -> int:
    ends: dict[int, int] = {}
    twice = 0
    for epoch, first, last in sorted(ranges):
        twice += max(0, min(last, ends.get(epoch, 0)) - first + 1)
        ends[epoch] = max(ends.get(epoch, 0), last)
    return twice


def _holds(condition: Callable[[], object]) -> bool:
    try:
        return bool(condition())
    except (TimeoutError, WorldError, StopIteration, LookupError, json.JSONDecodeError):
        return False  # a part that is away just now: that is what is being waited for
