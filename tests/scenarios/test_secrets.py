"""Secrets on their way: set once, sealed to the device, opened in its memory, and found nowhere else."""

from __future__ import annotations

import base64
import json
import queue
import sqlite3
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import docker
import pytest

from broker.channels import DESIRED, match
from broker.codec import open_sealed
from broker.ids import DeviceRef
from broker.session import Session, SessionConfig
from broker.signing import MacKey
from broker.tls import client_context
from cloud.keys import load
from device.engine.secret_files import filesystem_of, folder_in_memory
from examples.demo.world import WorldError
from tests.harness.intruder import Silent
from tests.harness.stage import Stage

PASSWORD, TYPED, LATER = "of-a-file-4f1a9c", "of-an-operator-b82d07", "of-an-operator-later-e55c31"
COMPOSE = """
services:
  keeper:
    image: ${IMAGE}
    command: ["/bin/busybox", "sh", "-c", "echo up; while :; do /bin/busybox sleep 1; done"]
    restart: unless-stopped
    stop_grace_period: 1s
    secrets: [password, {source: api-key, target: /etc/keys/api, mode: 0400}]
  other:
    image: ${IMAGE}
    command: ["/bin/busybox", "sh", "-c", "while :; do /bin/busybox sleep 1; done"]
secrets:
  password: {file: ./password}
  api-key: {external: true}
"""


class Listener(Silent):
    """Hears everything that goes over the broker, as somebody who has broken into it."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.heard: queue.Queue[tuple[str, bytes]] = queue.Queue()
        pki = stage.cloud.state / "pki"
        config = SessionConfig(
            (stage.service_endpoint(),),
            "listener",
            lambda: client_context(pki / "servers.crt", pki / "ingest.crt", pki / "ingest.key"),
            subscriptions=(("sk/1/+/+/+/up/+", 1),),
        )
        self.session = Session(config, self)
        self.session.start()
        self.ups.get(timeout=20)

    def message(self, topic: str, payload: bytes) -> None:
        self.heard.put((topic, payload))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The developer's folder: the one place where a value may lie in a file."""
    folder = tmp_path_factory.mktemp("developer")
    (folder / "compose.yaml").write_text(COMPOSE)
    (folder / "password").write_text(PASSWORD)
    (folder / "typed").write_text(TYPED)
    (folder / "later").write_text(LATER)
    return folder


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    from tests.harness.apps import busybox_tar
    from tests.harness.engine import docker_client

    client = docker_client()
    client.import_image_from_data(busybox_tar(), repository="secret-keeper", tag="test")
    yield "secret-keeper:test"
    client.remove_image("secret-keeper:test", force=True)
    client.close()


@pytest.fixture(scope="module")
def listener(stage: Stage) -> Iterator[Listener]:
    made = Listener(stage)
    yield made
    made.session.stop()


def containers(stage: Stage) -> dict[str, dict[str, Any]]:
    """Return what the engine tells of the app's running containers, by service."""
    client = docker.APIClient(version="auto")
    try:
        found = client.containers(filters={"label": f"io.skerry.device={stage.device.id}"})
        told = {each["Labels"]["io.skerry.service"]: client.inspect_container(each["Id"]) for each in found}
        return {name: each for name, each in told.items() if name in ("keeper", "other")}
    finally:
        client.close()


def inside(stage: Stage, *command: str) -> str:
    client = docker.APIClient(version="auto")
    try:
        made = client.exec_create(containers(stage)["keeper"]["Id"], ["/bin/busybox", *command])
        return bytes(client.exec_start(made["Id"])).decode().strip()
    finally:
        client.close()


def settled(stage: Stage, api_key: str) -> bool:
    """Return whether the app runs with this value, and is judged to do well."""
    there = containers(stage)
    status = stage.show().get("status") or {}
    states = [one["state"] for one in status.get("instances", []) if one["name"] == "vaulty"]
    return (
        states == ["converged"]
        and sorted(there) == ["keeper", "other"]
        and inside(stage, "cat", "/etc/keys/api") == api_key
    )


def test_an_app_without_its_secret_is_not_deployed_and_the_hint_says_what_to_do(
    stage: Stage, project: Path, image: str, listener: Listener
) -> None:
    stage.cli("app", "push", str(project), "--name", "vaulty", environment={"IMAGE": image})
    with pytest.raises(WorldError, match="secret api-key of app vaulty has no value"):
        stage.cli("deploy", "vaulty")
    told = stage.cli.run("deploy", "vaulty")
    assert "skerry secret set" in told.stderr


def test_a_secret_that_is_set_and_one_of_a_file_are_in_the_container_as_it_asks(stage: Stage, project: Path) -> None:
    made = stage.cli("secret", "set", "vaulty", "api-key", "--file", str(project / "typed"))
    assert (made["version"], made["changed"]) == (1, True)
    stage.cli("deploy", "vaulty")
    stage.until(lambda: settled(stage, TYPED), "the app has its secrets")
    assert inside(stage, "cat", "/run/secrets/password") == PASSWORD
    assert inside(stage, "stat", "-c", "%a %u", "/etc/keys/api", "/run/secrets/password") == "400 0\n444 0"


def test_pushing_the_same_again_is_the_same_release(stage: Stage, project: Path, image: str) -> None:
    again = stage.cli("app", "push", str(project), "--name", "vaulty", environment={"IMAGE": image})
    assert again["created"] is False


def test_another_value_makes_only_those_anew_that_use_it(stage: Stage, project: Path) -> None:
    before = containers(stage)
    stage.cli("secret", "set", "vaulty", "api-key", "--file", str(project / "later"))
    stage.until(lambda: settled(stage, LATER), "the later value is there")
    after = containers(stage)
    assert after["other"]["Id"] == before["other"]["Id"]
    assert after["keeper"]["Id"] != before["keeper"]["Id"]


def test_a_worker_that_starts_after_a_boot_that_emptied_the_memory_has_its_app_go_on(stage: Stage) -> None:
    folder = folder_in_memory(stage.device.id)
    assert folder is not None
    stage.device.process.stop()
    client = docker.APIClient(version="auto")
    keeper = containers(stage)["keeper"]["Id"]
    client.stop(keeper, timeout=1)
    client.close()
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    stage.device.process.start()
    stage.until(lambda: containers(stage).get("keeper", {}).get("Id") == keeper, "it runs again")
    stage.until(lambda: settled(stage, LATER), "with its secrets")


def test_no_value_is_anywhere_but_in_the_memory_of_the_device(stage: Stage, project: Path, listener: Listener) -> None:
    stage.until(lambda: not listener.heard.empty(), "something went over the broker")
    values = (PASSWORD, TYPED, LATER)
    found = [f"{place}: {value}" for place, text in places(stage, listener) for value in values if has(text, value)]
    assert found == []
    memory = folder_in_memory(stage.device.id)
    assert memory is not None
    assert filesystem_of(memory) == "tmpfs"
    assert sorted(path.read_text() for path in memory.rglob("*") if path.is_file()) == sorted([PASSWORD, LATER])


@pytest.mark.parametrize(
    "form",
    [str.encode, lambda value: base64.b64encode(b"=" + value.encode() + b"="), lambda v: v.encode().hex().encode()],
)
def test_the_search_finds_what_is_there(stage: Stage, listener: Listener, form: Any) -> None:
    (stage.folder / "planted").write_bytes(b"x" * 1000 + form(PASSWORD))
    assert any(has(text, PASSWORD) for _, text in places(stage, listener))
    (stage.folder / "planted").unlink()


def has(text: bytes, value: str) -> bool:
    """Return whether a value is in some bytes: as it is, in hex, in base64 at any of its three phases, or its hash."""
    plain = value.encode()
    phases = (base64.b64encode(b"\0" * n + plain)[(4 if n else 0) : -4].rstrip(b"=") for n in range(3))
    return any(form in text for form in (plain, plain.hex().encode(), sha256(plain).hexdigest().encode(), *phases))


def places(stage: Stage, listener: Listener) -> Iterator[tuple[str, bytes]]:
    """Yield all that could tell: files of cloud, device and command line, messages, the engine, processes, logs."""
    for path in stage.folder.rglob("*"):
        if path.is_file():
            yield str(path), path.read_bytes()
    for name, told in containers(stage).items():
        yield f"inspect {name}", json.dumps(told).encode()
    yield from messages(stage, listener)
    for folder in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "environ"):
            try:
                text = (folder / name).read_bytes()
            except OSError:
                continue
            if str(stage.folder).encode() in text or stage.mark.encode() in text:
                yield f"process {folder.name} {name}", text
    yield "logs", stage.cli.run("logs", "vaulty").stdout.encode()
    yield "what the device shows", json.dumps(stage.show()).encode()


def messages(stage: Stage, listener: Listener) -> Iterator[tuple[str, bytes]]:
    """Yield messages as they are and unpacked: those that were heard, and those that were sent to the device."""
    ref = DeviceRef(stage.device.identity["org"], stage.device.id)
    mac = MacKey(stage.device.mac_key())
    for topic, payload in list(listener.heard.queue):
        yield topic, payload
        channel, device = match(topic)
        if device == ref:
            yield f"{topic} unpacked", repr(open_sealed(channel, ref, payload, mac).message).encode()
    verifier = load(stage.cloud.state / "keys").desired_verifier
    with sqlite3.connect(stage.cloud.database) as database:
        for (envelope,) in database.execute("SELECT envelope FROM desired WHERE device = ?", (ref.device,)):
            yield "desired", open_sealed(DESIRED, ref, envelope, verifier).message.model_dump_json().encode()
