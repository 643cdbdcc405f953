"""A machine that asks to become a device: it waits, can be stopped and goes on, and holds nothing before."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.demo.world import Cli, Cloud
from tests.harness.servers import program


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[Cli]:
    for name in ("mosquitto", "docker-registry"):
        program(name)
    cloud = Cloud(tmp_path / "cloud", mark="enrolling")
    cloud.init()
    cloud.start()
    made = Cli(tmp_path / "home", mark="enrolling")
    made.login(cloud)
    yield made
    cloud.process.stop()


def enrolling(token: str, state: Path, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        # Where the tests run in the background, SIGINT is ignored, and a child inherits that.
        [
            "env",
            "--default-signal=INT",
            sys.executable,
            "-m",
            "device.cli",
            "enroll",
            token,
            "--state",
            str(state),
            "--serial",
            "s-1",
            *more,
        ],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )


def test_a_machine_waits_for_its_approval_and_can_be_stopped_meanwhile(cli: Cli, tmp_path: Path) -> None:
    token, state = cli("device", "enroll-token", "--uses", "2")["token"], tmp_path / "d"
    waiting = enrolling(token, state)
    assert waiting.stderr is not None
    assert waiting.stderr.readline().startswith("waiting for approval as q")
    waiting.send_signal(signal.SIGINT)
    waiting.communicate(timeout=30)
    assert waiting.returncode == 130
    assert sorted(path.name for path in (state / "identity").iterdir()) == ["ca.crt", "device.key", "identity.seed"]
    (pending,) = cli("device", "list")["pending"]
    assert pending["serial"] == "s-1"

    again = enrolling(token, state, "--json")
    assert again.stderr is not None
    assert pending["request"] in again.stderr.readline()  # the same request goes on
    cli("device", "approve", pending["request"], "--name", "pump-1")
    output, errors = again.communicate(timeout=60)
    assert again.returncode == 0, errors
    assert json.loads(output)["name"] == "pump-1"
    listed = cli("device", "list")
    assert ([one["name"] for one in listed["devices"]], listed["pending"]) == (["pump-1"], [])
