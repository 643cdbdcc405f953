"""A worker as it runs on a device, with a broker and nothing else: whoever times it plays the cloud by hand."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import docker
import paho.mqtt.client as mqtt

from bench.contenders import Watch
from broker.channels import BATCH, PRESENCE, STATUS, SYNC, match
from broker.clock import SystemClock
from broker.codec import open_sealed, seal
from broker.messages import AppSection, Conn, DesiredState, Generation, Status, StreamHeld, Sync
from broker.policy import Policy
from broker.signing import MacKey
from device.checked_file import CheckedFile
from device.engine.docker import DockerEngine
from device.mailbox import Mailbox
from device.reconcile.journal import Journal
from device.reconcile.loop import RESYNC_S, Reconciler
from device.reconcile.wanted import Place
from tests.chaos.rig.judge import engine_socket
from tests.chaos.rig.lonely import LonelyDevice
from tests.harness.engine import remove_everything
from tests.harness.mqtt import start_mosquitto

PATIENCE_S = 60.0
MAC = MacKey(b"m" * 32)
QUIET_S = 1.0  # no status for this long: the afterwork is done


def installed() -> dict[str, str]:
    """Return an environment in which modules are compiled once, as they are on a device."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


class WorkerUnderTest:
    """Runs `skerry-device run` in a folder of its own; `app(api)` gives the section that it shall run."""

    name = "worker"

    def __init__(self, folder: Path, registry: str) -> None:
        self._folder = folder
        self._registry = registry
        self.app: Callable[[int], AppSection]

    def __enter__(self) -> Self:
        self._folder.mkdir()
        (broker_folder := self._folder / "b").mkdir()
        self._broker = start_mosquitto(broker_folder)
        self.device = LonelyDevice(self._folder / "d", registry=self._registry)
        self.device.settle_in(broker=self._broker)
        self.instance = self.device.instance
        self.filter = f"io.skerry.device={self.device.ref.device}"
        self.mark = self.instance
        self._syncs = 0
        self._held: dict[tuple[str, int], int] = {}  # the end of each stream, by its name and epoch
        self._round: Callable[[], float] | None = None
        self._statuses: list[tuple[float, Status]] = []
        self._changed = threading.Condition()
        self._ingest, self._publisher = self._connect("svc.ingest"), self._connect("svc.publisher")
        self._engine = docker.APIClient(version="1.41")
        log = (self._folder / "worker.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "device.cli", "run", "--state", str(self.device.paths.state)],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=installed(),
        )
        log.close()
        self._until(lambda: bool(self._statuses), "the first status")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is not None:
            print((self._folder / "worker.log").read_text()[-3000:], file=sys.stderr)
        for client in (self._ingest, self._publisher):
            client.disconnect()
            client.loop_stop()
        self._broker.server.stop()
        self._engine.close()

    # --- what contenders do

    def up(self, api: int) -> None:
        self._publish(self.app(api))

    def down(self) -> None:
        self._publish()

    def until_gone(self) -> None:
        """Wait until nothing of the app is there."""
        self._until(self._is_settled, "the worker at rest")
        deadline = time.monotonic() + PATIENCE_S
        while self._engine.containers(all=True, filters={"label": self.filter}) or self._engine.networks(
            filters={"label": self.filter}
        ):
            if time.monotonic() > deadline:
                raise TimeoutError("the app does not go away")
            time.sleep(0.05)

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(30)
        engine = DockerEngine(device=self.device.ref.device)
        remove_everything(engine)
        engine.close()

    # --- what only a worker does

    def until_settled(self) -> None:
        """Wait until the newest desired state is reported as done, and nothing more is being said."""
        deadline = time.monotonic() + PATIENCE_S
        while time.time() - self._statuses[-1][0] < QUIET_S or not self._is_settled():
            if time.monotonic() > deadline:
                raise TimeoutError(f"the worker does not come to rest; its last status: {self._statuses[-1]}")
            time.sleep(0.05)

    def kill_one(self, watch: Watch) -> tuple[float, float]:
        """Kill the process of one container; return after how many seconds the engine said so, and the worker."""
        watch.forget()
        while not (pid := self._engine.inspect_container(self._container("web"))["State"]["Pid"]):
            time.sleep(0.05)  # between two runs it has none, and killing 0 would kill this process
        with self._changed:
            self._statuses[:-1] = []
        before = _of_web(self._statuses[0][1])
        began = time.time()
        os.kill(pid, signal.SIGKILL)
        watch.until(lambda events: any(action == "container die" for _, action, _ in events), "the engine's word")
        told = time.time() - began
        self._until(lambda: any(_of_web(status) != before for _, status in self._statuses), "the worker's word")
        return told, next(at for at, status in self._statuses if _of_web(status) != before) - began

    def remove_one(self, watch: Watch) -> tuple[float, float]:
        """Remove a container by hand; return the seconds until it ran again, and those of the two calls by hand."""
        container = self._container("web")
        config = self._engine.inspect_container(container)
        watch.forget()
        self._engine.remove_container(container, force=True)
        began = time.time()
        watch.until(lambda events: any(action == "container start" for _, action, _ in events), "the container again")
        again = watch.times("container start")["web"] - began
        began = time.perf_counter()
        made = self._engine.create_container(
            config["Config"]["Image"],
            config["Config"]["Cmd"],
            host_config=self._engine.create_host_config(restart_policy={"Name": "unless-stopped"}),
            networking_config={
                "EndpointsConfig": {name: {"Aliases": ["spare"]} for name in config["NetworkSettings"]["Networks"]}
            },
        )
        self._engine.start(made)
        by_hand = time.perf_counter() - began
        self._engine.remove_container(made, force=True)
        return again, by_hand

    def raw_list(self) -> Any:
        """Make the one list call of a round by hand, on a connection of its own."""
        connection = _Unix(engine_socket())
        wanted = urllib.parse.quote(json.dumps({"label": [self.filter]}))
        connection.request("GET", f"/v1.41/containers/json?all=1&filters={wanted}")
        found = json.loads(connection.getresponse().read())
        connection.close()
        return found

    def no_op(self) -> None:
        """Do a round as the worker does it when something woke it and nothing is to be done."""
        self.converged_reconciler()()

    def converged_reconciler(self) -> Callable[[], float]:
        """Return a round of reconcile on what the worker has brought up, in this process, at rest."""
        if self._round is None:
            self._round = self._built_round()
        return self._round

    def _built_round(self) -> Callable[[], float]:
        (copy := self._folder / "journal").write_bytes((self.device.paths.ledger / "journal").read_bytes())
        desired = DesiredState(
            org=self.device.ref.org,
            device=self.device.ref.device,
            era=1,
            generation=1,
            issued_ms=0,
            apps=(self.app(1),),
        )
        mailbox = Mailbox()
        mailbox.put(desired)
        self.calls = DockerEngine(device=self.device.ref.device)
        reconciler = Reconciler(
            engine=self.calls,
            mailbox=mailbox,
            journal=Journal(CheckedFile(copy)),
            policy=Policy(),
            registry=self._registry,
            clock=SystemClock(),
            place_for=lambda sections: Place(device=self.device.ref.device, registry=self._registry, intake={}),
            report=lambda report: None,
            pull=lambda image, progress: None,
            progress=lambda instance, done, total: None,
            observed=lambda apps, observed: None,
        )
        reconciler.journal.load()

        def once() -> float:
            return reconciler._guarded_round(desired)

        deadline = time.monotonic() + PATIENCE_S
        while once() < RESYNC_S / 2:
            if time.monotonic() > deadline:
                raise TimeoutError("a reconciler beside the worker's does not come to rest")
            time.sleep(0.1)
        return once

    def _container(self, service: str) -> str:
        labels = [self.filter, f"io.skerry.service={service}"]
        return str(self._engine.containers(filters={"label": labels})[0]["Id"])

    # --- the cloud's part

    def _connect(self, service: str) -> mqtt.Client:
        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, service, protocol=mqtt.MQTTv5)
        context = self._broker.context(self._broker.service_ca, service)
        context.check_hostname = False
        client.tls_set_context(context)
        topics = [(channel.topic(self.device.ref), 1) for channel in (STATUS, PRESENCE, BATCH)]
        client.on_connect = lambda *_: client.subscribe(topics)
        client.on_message = self._received
        client.connect(self._broker.services.host, self._broker.services.port)
        client.loop_start()
        return client

    def _received(self, client: mqtt.Client, userdata: Any, message: mqtt.MQTTMessage) -> None:
        at = time.time()
        channel, device = match(message.topic)
        told = open_sealed(channel, device, message.payload, MAC).message
        if channel is STATUS:
            with self._changed:
                if not self._statuses or told.revision > self._statuses[-1][1].revision:
                    self._statuses.append((at, told))
                    self._changed.notify_all()
        if channel is BATCH:
            place = (told.stream, told.epoch)
            self._held[place] = max(told.last, self._held.get(place, 0))
        if getattr(told, "kind", "") != "will":
            self._answer(client, told.conn)

    def _answer(self, client: mqtt.Client, conn: Conn) -> None:
        """Say that everything is held: a worker that hears nothing keeps asking."""
        self._syncs += 1
        held = self._statuses[-1][1].revision if self._statuses else 0
        newest = Generation(era=1, generation=self.device.generation, digest="sha256:" + "0" * 64)
        streams = tuple(StreamHeld(stream=s, epoch=e, contiguous=last) for (s, e), last in self._held.items())
        sync = Sync(conn=conn, n=self._syncs, store="bench", time_ms=0, desired=newest, streams=streams, status=held)
        client.publish(SYNC.topic(self.device.ref), seal(SYNC, self.device.ref, sync, MAC), qos=0)

    def _publish(self, *apps: AppSection) -> None:
        self._publisher.publish(self.device.topic, self.device.next_state(*apps), qos=0, retain=True)

    def _is_settled(self) -> bool:
        newest = self._statuses[-1][1]
        held = newest.accepted.generation if newest.accepted else 0
        return held == self.device.generation and all(i.state == "converged" for i in newest.instances)

    def _until(self, condition: Callable[[], bool], what: str) -> None:
        with self._changed:
            if not self._changed.wait_for(condition, timeout=PATIENCE_S):
                raise TimeoutError(f"{what} did not come; the last status: {self._statuses[-1:]}")


def _of_web(status: Status) -> tuple[object, ...]:
    """Return what changes of a service when its container dies, and does not otherwise."""
    found = next(service for instance in status.instances for service in instance.services if service.name == "web")
    return found.state == "running", found.container, found.restarts, found.started_at_ms


class _Unix(HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost")
        self._path = path

    def connect(self) -> None:
        import socket

        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)
