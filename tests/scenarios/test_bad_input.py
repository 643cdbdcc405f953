"""Bad input gets a named error, and the process goes on."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from examples.demo.world import PASSWORD, Cli, WorldError, run_module
from tests.harness.stage import Stage


def push_error(stage: Stage, folder: Path) -> str:
    """Return the one line that pushing a folder is refused with."""
    done = stage.cli.run("app", "push", str(folder))
    assert done.returncode == 1, done.stdout + done.stderr
    lines = done.stderr.strip().splitlines()
    assert "Traceback" not in done.stderr
    return lines[-1] if len(lines) == 1 else done.stderr


def app_folder(tmp_path: Path, compose: str) -> Path:
    (tmp_path / "compose.yaml").write_text(compose)
    return tmp_path


def test_a_broken_compose_file_is_named_with_its_line(stage: Stage, tmp_path: Path) -> None:
    error = push_error(stage, app_folder(tmp_path, "services:\n  web:\n    image: x\n   ports: [80]\n"))
    assert "compose.yaml" in error
    assert "4" in error


def test_an_unknown_key_is_named(stage: Stage, tmp_path: Path) -> None:
    error = push_error(stage, app_folder(tmp_path, "services:\n  web:\n    image: x\n    imagee: y\n"))
    assert "imagee" in error
    assert "compose.yaml" in error


def test_a_missing_image_is_named(stage: Stage, tmp_path: Path) -> None:
    app_folder(tmp_path, "services:\n  web:\n    image: 127.0.0.1:9/no/such:image\n")
    done = stage.cli.run("app", "push", str(tmp_path))
    assert done.returncode == 3, "the registry that the image names does not answer: worth another try"
    assert "services.web: image 127.0.0.1:9/no/such:image" in done.stderr


def test_a_folder_without_a_compose_file_is_named(stage: Stage, tmp_path: Path) -> None:
    assert "compose.yaml" in push_error(stage, tmp_path)


def test_a_wrong_password_and_a_wrong_authority_are_refused(stage: Stage, tmp_path: Path) -> None:
    cli = Cli(tmp_path / "home", mark=stage.mark)
    url, right = str(stage.cloud.facts["api"]), str(stage.cloud.facts["ca_hash"])
    wrong = cli.run("login", url, "--user", "ann", "--ca-hash", right, environment={"SKERRY_PASSWORD": "guess"})
    assert wrong.returncode == 1
    assert "password" in wrong.stderr
    other = "sha256:" + "0" * 64
    foreign = cli.run("login", url, "--user", "ann", "--ca-hash", other, environment={"SKERRY_PASSWORD": PASSWORD})
    assert foreign.returncode == 1
    assert right in foreign.stderr


def test_errors_are_json_for_machines(stage: Stage) -> None:
    done = stage.cli.run("app", "show", "nothing", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["reason"] == "not_found"


def test_a_damaged_and_a_used_enrollment_token_are_refused_by_name(stage: Stage, tmp_path: Path) -> None:
    token = str(stage.cli("device", "enroll-token")["token"])
    with pytest.raises(WorldError, match="token"):
        run_module("device.cli", ["enroll", "nonsense", "--state", str(tmp_path / "a")], mark=stage.mark)
    with pytest.raises(WorldError, match="damaged"):
        run_module("device.cli", ["enroll", token[:-20], "--state", str(tmp_path / "b")], mark=stage.mark)
    run_module("device.cli", ["enroll", token, "--state", str(tmp_path / "c"), "--name", "spare"], mark=stage.mark)
    with pytest.raises(WorldError, match="token"):
        run_module("device.cli", ["enroll", token, "--state", str(tmp_path / "d")], mark=stage.mark)
    with pytest.raises(WorldError, match="already"):
        run_module("device.cli", ["enroll", token, "--state", str(tmp_path / "c")], mark=stage.mark)


def test_a_worker_that_was_never_enrolled_says_how_to(stage: Stage, tmp_path: Path) -> None:
    with pytest.raises(WorldError, match="skerry-device enroll"):
        run_module("device.cli", ["run", "--state", str(tmp_path / "x")], mark=stage.mark)


def test_a_typo_in_device_toml_is_named(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "device.toml").write_text("[policy]\nallow_priviledged = true\n")
    with pytest.raises(WorldError, match="allow_priviledged"):
        run_module("device.cli", ["run", "--state", str(tmp_path)], mark=stage.mark)


@contextmanager
def small_disk(folder: Path, *, kilobytes: int) -> Iterator[Path]:
    """Mount a disk of its own on `folder`, so small that it can be filled."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Fill the disk that `folder` is on to the last byte; return the file that does it."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            return ballast


def test_enrolling_on_a_full_disk_names_the_file(stage: Stage, tmp_path: Path) -> None:
    token = str(stage.cli("device", "enroll-token")["token"])
    with small_disk(tmp_path / "disk", kilobytes=64) as disk:
        fill(disk)
        with pytest.raises(WorldError, match=r"(?i)cannot|space") as caught:
            run_module("device.cli", ["enroll", token, "--state", str(disk / "d")], mark=stage.mark)
        assert "Traceback" not in str(caught.value)
        assert str(disk) in str(caught.value)


def test_a_full_disk_holds_changes_up_and_nothing_else(stage: Stage) -> None:
    """The app runs on, the refusal to write is reported, and the update follows once there is room."""
    ledger = stage.device.state / "ledger"
    saved = {file.name: file.read_bytes() for file in ledger.iterdir()}
    stage.device.process.stop()
    with small_disk(ledger, kilobytes=128):
        for name, content in saved.items():
            (ledger / name).write_bytes(content)
        ballast = fill(ledger)
        stage.device.process.start()
        stage.until(lambda: stage.show()["online"], "the device is online on a full disk")
        stage.deploy(greeting="full")
        stage.until(lambda: stage.condition("StateWritable").get("status") is False, "the full disk is reported")
        assert "cannot write" in stage.condition("StateWritable")["message"]
        assert stage.page() == "one"
        assert stage.device.process.alive
        ballast.unlink()
        stage.settle("full")
        stage.until(lambda: stage.condition("StateWritable").get("status") is True, "the disk is reported well again")
        kept = {file.name: file.read_bytes() for file in ledger.iterdir()}
        stage.device.process.stop()
    for name, content in kept.items():
        (ledger / name).write_bytes(content)
    stage.device.process.start()
    stage.settle("full")
    assert stage.audited().holds
