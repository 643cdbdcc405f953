"""`skerry app check` says everything at once; `skerry app schema` prints the schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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


HOST = {"os": "linux", "arch": "x86_64", "engine": "docker", "engine_version": "20.10", "engine_api": "1.41"}


def pump(policy: dict[str, Any] | None = None, **host: str) -> CannedCloud:
    """Return a cloud with one device."""
    device = {"device": "d", "name": "pump", "host": HOST | host, "policy": policy}
    me = {"user": "u", "org": "o", "registry": "here.example:5000"}
    return CannedCloud({"GET /v1/devices/pump": [(200, device)] * 2, "GET /v1/me": [(200, me)] * 2})


def test_a_device_is_asked_for_its_architecture(
    logged_in: Shell, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text("name: hello\nservices:\n  arm: {image: arm, platform: linux/arm64}\n")
    assert logged_in.run("app", "check", str(file), "--device", "pump", cloud=pump()) == 1
    assert capsys.readouterr().out.splitlines() == [
        "compose.yaml:3: services.arm.platform: is refused: the image is for arm64, and the device has amd64",
        "pump: docker 20.10 (API 1.41), x86_64; has not told its owner's policy",
        "hello: refused; 0 of 1 services could run",
    ]


def test_an_image_without_a_platform_is_for_the_machine_that_pushes(
    logged_in: Shell, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text("name: hello\nservices:\n  web:\n    image: web\n")
    cloud = pump(arch="aarch64")
    assert logged_in.run("app", "check", str(file), "--device", "pump", cloud=cloud) == 1
    assert capsys.readouterr().out.splitlines()[0] == (
        "compose.yaml:4: services.web.image: is refused: the image would be for amd64, and the device has arm64; "
        "set platform: linux/arm64"
    )
    logged_in.variables["DOCKER_DEFAULT_PLATFORM"] = "linux/arm64"
    assert logged_in.run("app", "check", str(file), "--device", "pump", cloud=cloud) == 0


PRIVILEGED = """\
name: hello
services:
  web:
    image: web
    privileged: true
    scale: 2
    volumes:
      - type: volume
        source: v
        target: /v
        volume: {subpath: x}
networks: {default: {external: true, name: lan}}
volumes: {v: }
"""


def test_a_devices_policy_and_engine_refuse_by_name_and_line(
    logged_in: Shell, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(PRIVILEGED)
    assert logged_in.run("app", "check", str(file), "--device", "pump", cloud=pump({})) == 1
    assert capsys.readouterr().out.splitlines() == [
        "compose.yaml:5: services.web.privileged: privileged is not allowed (policy.allow_privileged)",
        "compose.yaml:12: networks.default.external: external network lan reaches outside of the app "
        "(policy.allow_external_networks)",
        "compose.yaml:7: services.web.volumes: is refused: volumes: subpath is not known to docker 20.10, API 1.41",
        "pump: docker 20.10 (API 1.41), x86_64; its owner has set nothing: the defaults hold",
        "hello: refused; 0 of 1 services could run",
    ]


def test_what_a_devices_owner_allows_is_not_refused(
    logged_in: Shell, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(PRIVILEGED)
    cloud = pump({"allow_privileged": True, "allow_external_networks": ["lan"]}, engine_api="1.45")
    assert logged_in.run("app", "check", str(file), "--device", "pump", cloud=cloud) == 0
    assert capsys.readouterr().out.splitlines() == [
        "pump: docker 20.10 (API 1.45), x86_64; its owner sets allow_external_networks, allow_privileged",
        "hello: 1 service in 2 containers can run on pump",
    ]


def test_a_grant_counts_as_far_as_the_device_lets_it(
    logged_in: Shell, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(PRIVILEGED.replace("networks: {default: {external: true, name: lan}}\n", ""))
    grants = ("--grant", "allow_privileged", "--grant", "allow_devices=/dev/null")
    cloud = pump({"widen": {"allow_privileged": True}}, engine_api="1.45")
    assert logged_in.run("app", "check", str(file), "--device", "pump", *grants, cloud=cloud) == 1
    assert capsys.readouterr().out.splitlines()[0] == (
        "the grant allow_devices /dev/null is more than may be granted (policy.widen.allow_devices)"
    )
    assert logged_in.run("app", "check", str(file), "--device", "pump", *grants[:2], cloud=cloud) == 0


@pytest.mark.parametrize(
    ("grant", "said"),
    [
        ("allow_flying", "'allow_flying' names no row of a policy"),
        ("allow_devices", "is not complete"),
        ("allow_privileged=yes", "is not complete"),
        ("allow_ports=x", "--grant allow_ports: 'x' is no port"),
    ],
)
def test_a_grant_that_could_never_count_is_refused(
    shell: Shell, file: Path, capsys: pytest.CaptureFixture[str], grant: str, said: str
) -> None:
    assert shell.run("app", "check", str(file), "--grant", grant) == 1
    assert said in capsys.readouterr().err


def test_images_from_another_registry_than_the_owner_allows_are_refused(
    logged_in: Shell, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text("name: hello\nservices:\n  web: {image: web}\n")
    cloud = pump({"allow_registries": ["there.example"]})
    assert logged_in.run("app", "check", str(file), "--device", "pump", cloud=cloud) == 1
    assert "images come from here.example:5000, which is not allowed" in capsys.readouterr().out


def test_podman_is_asked_by_its_own_rows(logged_in: Shell, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text("name: hello\nservices:\n  web: {image: web, domainname: sea}\n")
    cloud = pump({}, engine="podman", engine_version="4.3")
    assert logged_in.run("app", "check", str(file), "--device", "pump", cloud=cloud) == 1
    assert "services.web.domainname: is refused: domainname is not known to podman 4.3" in capsys.readouterr().out


def test_a_policy_is_read_from_a_file_without_any_cloud(
    shell: Shell, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(PRIVILEGED)
    owner = file.with_name("device.toml")
    owner.write_text("zone = 'north'\n[policy]\nallow_privileged = true\n")
    assert shell.run("app", "check", str(file), "--policy", str(owner), "--json") == 1
    document = json.loads(capsys.readouterr().out)
    assert [refusal["key"] for refusal in document["refused"]] == ["networks.default.external"]
    assert document["device"] == {
        **dict.fromkeys(("name", "os", "arch", "engine", "api")),
        "policy": {"allow_privileged": True},
    }
    assert document["engine"] == [
        {"key": "services.web.volumes", "needs": "Engine API 1.45", "file": "compose.yaml", "line": 7}
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[policy]\nallow_flying = true", "policy.allow_flying: there is no such row"),
        ("[policy", "device.toml: "),
        (None, "device.toml cannot be read: "),
    ],
)
def test_a_policy_that_cannot_be_read_is_told(
    shell: Shell, file: Path, capsys: pytest.CaptureFixture[str], text: str | None, said: str
) -> None:
    owner = file.with_name("device.toml")
    if text is not None:
        owner.write_text(text)
    assert shell.run("app", "check", str(file), "--policy", str(owner)) == 1
    assert said in capsys.readouterr().err


def test_without_a_device_it_is_told_what_owners_and_engines_decide(
    shell: Shell, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(PRIVILEGED)
    assert shell.run("app", "check", str(file)) == 0
    assert capsys.readouterr().out.splitlines() == [
        "compose.yaml:5: services.web.privileged: privileged is not allowed unless the device's owner allows it "
        "(policy.allow_privileged)",
        "compose.yaml:12: networks.default.external: external network lan reaches outside of the app unless the "
        "device's owner allows it (policy.allow_external_networks)",
        "compose.yaml:7: services.web.volumes: needs Engine API 1.45",
        "hello: 1 service in 2 containers can run on a device",
    ]
    assert shell.run("app", "check", str(file), "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert [(each["key"], each["row"], each["line"]) for each in document["needs"]] == [
        ("services.web.privileged", "allow_privileged", 5),
        ("networks.default.external", "allow_external_networks", 12),
    ]
    assert document["replicas"] == {"web": 2}


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
