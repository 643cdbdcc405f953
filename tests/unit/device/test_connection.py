"""Which engine is used, and what it says it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from device.engine import connection
from device.engine.connection import Kind, find_socket, kind_of
from device.engine.port import EngineRefused


def test_the_engine_that_the_environment_names_is_used() -> None:
    assert find_socket({"DOCKER_HOST": "tcp://10.0.0.1:2375"}, uid=0) == "tcp://10.0.0.1:2375"


def test_the_first_socket_that_is_there_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docker, podman = tmp_path / "docker.sock", tmp_path / "podman.sock"
    monkeypatch.setattr(connection, "ROOTFUL", (str(docker), str(podman)))
    own = tmp_path / "run" / "podman" / "podman.sock"
    own.parent.mkdir(parents=True)
    environment = {"XDG_RUNTIME_DIR": str(tmp_path / "run")}
    assert find_socket(environment, uid=1000) == f"unix://{docker}"  # none is there: what most devices will have
    for there in (own, podman, docker):
        there.touch()
        assert find_socket(environment, uid=1000) == f"unix://{there}"


@pytest.mark.parametrize(
    ("headers", "kind"),
    [
        ({"Server": "Docker/20.10.24+dfsg1 (linux)", "Api-Version": "1.41"}, Kind("docker", "20.10.24+dfsg1", "1.41")),
        ({"Server": "Libpod/4.3.1 (linux)", "Api-Version": "1.41"}, Kind("podman", "4.3.1", "1.41")),
        ({"Libpod-Api-Version": "5.0.0", "Api-Version": "1.41"}, Kind("podman", "", "1.41")),
    ],
)
def test_an_engine_is_known_by_how_it_greets(headers: dict[str, str], kind: Kind) -> None:
    assert kind_of(headers) == kind


@pytest.mark.parametrize(
    "headers",
    [
        {"Server": "Docker/18.09 (linux)", "Api-Version": "1.39"},
        {"Server": "Libpod/3.0.1 (linux)", "Api-Version": "1.40"},
    ],
)
def test_an_engine_that_is_too_old_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(EngineRefused, match="too old"):
        kind_of(headers)
