"""`skerry app check` says everything at once; `skerry app schema` prints the schema."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.cli.cloud import CannedCloud, Shell

APP = """\
name: hello
services:
  web:
    image: web
    pid: container:other
    external_links: [db]
  shell:
    image: shell
    attach: true
    restart: sometimes
  next:
    image: next
    ports: ["80:80"]
    deploy: {update_config: {order: start-first}}
  arm: {image: arm, platform: linux/arm64}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "compose.yaml"
    file.write_text(APP)
    return file


def test_everything_that_is_refused_is_told_with_its_line(
    shell: Shell, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shell.run("app", "check", str(file), "--json") == 1
    document = json.loads(capsys.readouterr().out)
    found = {refusal["key"]: (refusal["file"], refusal["line"]) for refusal in document["refused"]}
    assert found["services.web.external_links"] == ("compose.yaml", 6)
    assert found["services.shell.restart"] == ("compose.yaml", 10)
    assert found["services.next.deploy.update_config.order"] == ("compose.yaml", 14)
    assert document["runs"] == ["arm"]
    assert document["error"]["reason"] == "compose_unsupported"


def test_people_read_one_line_for_each(shell: Shell, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert shell.run("app", "check", str(file)) == 1
    output = capsys.readouterr()
    assert "compose.yaml:6: services.web.external_links: is refused: " in output.out
    assert output.out.splitlines()[-1].startswith("hello: refused; 1 of 4 services could run")
    assert "services.shell.attach is ignored" in output.err


def test_a_device_is_asked_for_its_architecture(
    logged_in: Shell, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text("name: hello\nservices:\n  arm: {image: arm, platform: linux/arm64}\n")
    host = {"os": "linux", "arch": "x86_64", "engine": "docker", "engine_version": "20.10"}
    cloud = CannedCloud({"GET /v1/devices/pump": [(200, {"device": "d", "name": "pump", "host": host})]})
    assert logged_in.run("app", "check", str(file), "--device", "pump", cloud=cloud) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "compose.yaml:3: services.arm.platform: is refused: the image is for arm64, and the device has amd64"
    )
    assert lines[1].startswith("pump: docker 20.10, x86_64; ")


def test_the_schema_is_printed(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    assert shell.run("app", "schema") == 0
    schema = json.loads(capsys.readouterr().out)
    service = schema["properties"]["services"]["patternProperties"]["^[a-zA-Z0-9._-]+$"]
    assert sorted(service["properties"]["x-skerry"]["properties"]) == ["display", "lock", "redis", "telemetry"]


def test_the_folders_dotenv_may_name_its_files(
    shell: Shell, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / ".env").write_text("COMPOSE_FILE=a.yaml:b.yaml\n")
    (tmp_path / "a.yaml").write_text("name: two\nservices: {web: {image: a}}\n")
    (tmp_path / "b.yaml").write_text("services: {web: {image: b}}\n")
    assert shell.run("app", "config", str(tmp_path), "--format", "json") == 0
    assert json.loads(capsys.readouterr().out)["services"]["web"]["image"] == "b"
