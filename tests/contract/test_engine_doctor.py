"""`skerry-device doctor` tells which engine there is, and what it does not carry out."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from device.config import Paths
from device.doctor import Finding, findings
from tests.harness.engine_bench import Bench


def found(folder: Path, engine: str) -> dict[str, Finding]:
    (folder / "device.toml").write_text(f'engine = "{engine}"\n')
    return {each.what: each for each in findings(Paths(folder))}


def test_the_engine_behind_a_socket_is_told_by_name(real: Bench, tmp_path: Path) -> None:
    url = real.url or "unix:///var/run/docker.sock"
    told = found(tmp_path, url)["engine"]
    assert told.ok
    assert told.message.startswith(f"{real.kind} ")
    assert told.message.endswith(f"at {url}")


def test_what_an_engine_does_not_carry_out_is_told(real: Bench, tmp_path: Path) -> None:
    told = found(tmp_path, real.url or "unix:///var/run/docker.sock")
    assert told["not carried out"].details == real.engine.info().cannot
    assert ("domainname" in told["not carried out"].details) == (real.kind == "podman")
    assert ("different" in told) == (real.kind == "podman")


def test_an_engine_that_is_not_there_is_missing_and_how_to_get_it_is_said(tmp_path: Path) -> None:
    told = found(tmp_path, "unix:///nonexistent/engine.sock")["engine"]
    assert not told.ok
    assert "/nonexistent/engine.sock" in told.message
    assert "podman.socket" in told.message


def test_the_command_prints_one_json_object_a_finding(tmp_path: Path) -> None:
    (tmp_path / "device.toml").write_text('engine = "unix:///nonexistent/engine.sock"\n')
    ended = subprocess.run(
        [sys.executable, "-m", "device.cli", "doctor", "--state", str(tmp_path), "--json"],
        capture_output=True,
        check=False,
        text=True,
    )
    told = {each["what"]: each["ok"] for each in json.loads(ended.stdout)}
    assert told["device.toml"]
    assert not told["engine"]
    assert not told["identity"]
    assert ended.returncode == 1
