"""Bundles: a device that no network reaches gets its app and its updates as files, and tells as a file how it fares.

All the time its link is cut; while it applies, the cloud with its registry does not even run.
"""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from broker.bundle import read
from examples.demo.world import Device, hello_folder
from tests.harness.stage import SETTLED, Stage


class Island:
    """A cloud, and a device that it cannot reach."""

    def __init__(self, folder: Path) -> None:
        self.stage = Stage(folder)
        self.folder = folder
        self.stage.cloud.init()
        self.stage.cloud.start()
        self.stage.cli.login(self.stage.cloud)
        self.device = Device(folder / "d0", broker_port=self.stage.cloud.broker_port, mark=self.stage.mark)
        self.stage.devices.append(self.device)
        self.device.link.cut()
        self.device.enroll(self.stage.cli("device", "enroll-token")["token"], name="pump-1")

    def deploy(self, greeting: str) -> None:
        """Push and deploy a release whose page says this, from an image with a layer of its own."""
        folder = hello_folder(self.folder / "hello")
        with (folder / "web.sh").open("a") as script:
            script.write(f"# {greeting} {secrets.token_hex(40_000)}\n")  # enough to look for a patch, if one could
        variables = {"GREETING": greeting, "REVISION": greeting, "HELLO_PORT": str(self.stage.page_port)}
        self.stage.cli("app", "push", str(folder), environment=variables)
        self.stage.cli("deploy", "hello")

    def bundle(self, name: str, *options: str) -> Path:
        file = self.folder / name
        self.stage.cli("bundle", "create", "hello", "-o", str(file), *options)
        return file

    def away(self) -> None:
        """Stop the cloud, its broker and its registry."""
        self.stage.cloud.process.stop()

    def back(self) -> None:
        self.stage.cloud.start()

    def do(self, *arguments: str) -> tuple[int, dict[str, Any]]:
        """Run a command on the device; return its exit code and its JSON."""
        done = subprocess.run(
            [sys.executable, "-m", "device.cli", *arguments, "--state", str(self.device.state), "--json"],
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)

    def runs(self, greeting: str) -> None:
        self.stage.until(lambda: self.stage.page() == greeting, f"the page says {greeting!r}")
        self.stage.until(lambda: self.device.containers() == SETTLED, "both services are healthy")


@pytest.fixture(scope="module")
def island(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Island]:
    made = Island(tmp_path_factory.mktemp("i"))
    try:
        yield made
    finally:
        made.stage.end()


@pytest.fixture(scope="module")
def bundles(island: Island) -> dict[str, Path]:
    """Two releases as bundles, made before the cloud goes away."""
    found = {}
    for greeting in ("one", "two"):
        island.deploy(greeting)
        found[greeting] = island.bundle(f"{greeting}.bundle")
    return found


def test_a_bundle_starts_an_app_on_a_device_without_any_network(island: Island, bundles: dict[str, Path]) -> None:
    island.away()
    island.device.process.start()
    control = island.device.state / "control.sock"
    island.stage.until(control.exists, "the worker listens")
    code, answer = island.do("apply", str(bundles["one"]))
    assert (code, answer["state"], answer["news"]) == (0, "done", True)
    island.runs("one")


def test_the_status_comes_back_as_a_file(island: Island, bundles: dict[str, Path]) -> None:
    file = island.folder / "status.bundle"
    code, _ = island.do("export-status", str(file))
    assert code == 0
    island.back()
    assert island.stage.show()["status"] is None
    answer = island.stage.cli("bundle", "import", str(file))
    assert [(one["news"], one["accepted"]["generation"]) for one in answer["statuses"]] == [(True, 1)]
    shown = island.stage.show()
    assert not shown["online"]
    assert [(item["name"], item["state"]) for item in shown["status"]["instances"]] == [("hello", "converged")]
    assert shown["accepted"]["generation"] == 1
    again = island.stage.cli("bundle", "import", str(file))
    assert [one["news"] for one in again["statuses"]] == [False]


def test_a_delta_bundle_carries_only_what_the_device_did_not_say_it_has(
    island: Island, bundles: dict[str, Path]
) -> None:
    island.deploy("three")
    whole, delta = island.bundle("whole.bundle"), island.bundle("three.bundle", "--delta")
    assert delta.stat().st_size < whole.stat().st_size / 2
    assert b"blobs/sha256/" in delta.read_bytes()
    island.away()
    code, answer = island.do("apply", str(delta))
    assert (code, answer["state"]) == (0, "done")
    island.runs("three")


def test_an_older_bundle_is_refused_and_the_same_one_again_is_no_news(island: Island, bundles: dict[str, Path]) -> None:
    code, answer = island.do("apply", str(bundles["two"]))
    assert (code, answer["error"]["reason"]) == (1, "stale_generation")
    code, answer = island.do("apply", str(island.folder / "three.bundle"))
    assert (code, answer["state"], answer["news"]) == (0, "done", False)
    island.runs("three")


def test_an_altered_envelope_is_refused(island: Island, bundles: dict[str, Path]) -> None:
    altered = island.folder / "altered.bundle"
    data = bytearray((island.folder / "three.bundle").read_bytes())
    place = data.index(b"devices/" + island.device.id.encode() + b"/desired") + 512 + 200
    data[place] ^= 1
    altered.write_bytes(data)
    code, answer = island.do("apply", str(altered))
    assert (code, answer["error"]["reason"]) == (1, "bad_signature")
    island.runs("three")


def test_a_stopped_worker_finds_the_bundle_when_it_starts(island: Island, bundles: dict[str, Path]) -> None:
    island.back()
    island.deploy("four")
    file = island.bundle("four.bundle")
    island.away()
    island.device.process.stop()
    code, answer = island.do("apply", str(bundles["one"]))
    assert (code, answer["error"]["reason"]) == (1, "stale_generation")
    code, answer = island.do("apply", str(file))
    assert (code, answer["state"]) == (0, "kept")
    file.unlink()
    island.device.process.start()
    island.runs("four")


def test_a_damaged_blob_is_named_and_a_good_copy_mends_it(island: Island, bundles: dict[str, Path]) -> None:
    island.back()
    island.deploy("five")
    file = island.bundle("five.bundle")
    island.away()
    good = file.read_bytes()
    blobs = read(lambda offset, size: good[offset : offset + size], len(good)).blobs
    kept = island.device.state / "images" / "blobs"
    new = [member for digest, member in blobs.items() if not (kept / digest.removeprefix("sha256:")).exists()]
    bad = bytearray(good)
    assert new
    for member in new[-1:]:  # the layer: the smaller ones before it are manifest and config
        bad[member.offset + member.size // 2] ^= 1
    file.write_bytes(bad)
    code, answer = island.do("apply", str(file))
    assert (code, answer["error"]["reason"]) == (1, "wrong_bytes")
    assert island.stage.page() == "four"
    file.write_bytes(good)
    code, answer = island.do("apply", str(file))
    assert (code, answer["state"]) == (0, "done")
    island.runs("five")
    island.back()
