"""The stories of faults at a small scale, with fixed seeds; and that their judge sees what it must."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.rig.island import Island, island
from tests.chaos.rig.judge import engine_socket, judge
from tests.chaos.rig.lonely import SERVICES
from tests.harness.engine import docker_client
from tests.harness.servers import program


@pytest.mark.timeout(600)
def test_a_worker_killed_anywhere_in_an_update_ends_wholly_in_one_release() -> None:
    told = _story("crashes", "--kills", "3", "--seed", "7")
    assert told["faults"] == []
    assert told["kills"]


@pytest.mark.timeout(600)
def test_power_cut_anywhere_in_an_update_ends_wholly_in_one_release() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a file system to cut its power")
    program("mkfs.xfs")
    told = _story("powercut", "--kills", "3", "--seed", "7")
    assert told["faults"] == []
    assert told["kills"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Island]:
    with island(tmp_path_factory.mktemp("island")) as made:
        yield made


def test_the_judge_sees_one_whole_release(place: Island) -> None:
    assert place.verdict().release == "one"
    assert place.verdict().whole


def test_the_judge_sees_a_second_container_of_a_service(place: Island) -> None:
    with place.planted(service="api", image="one", beside=True):
        assert "2 containers" in place.verdict().why


def test_the_judge_sees_a_service_that_is_not_there(place: Island) -> None:
    found = judge(place.device.ref.device, [*SERVICES, "fourth"], place.ids, path=engine_socket())
    assert found.release == "partial"


def test_the_judge_sees_a_stopped_container(place: Island) -> None:
    client = docker_client()
    api = place.container("api")
    client.stop(api, timeout=5)
    assert "api is exited" in place.verdict().why
    client.start(api)
    client.close()


def test_the_judge_sees_a_planted_mixture(place: Island) -> None:
    with place.planted(service="api", image="broken"):
        assert place.verdict().release == "mixed"


def _story(name: str, *arguments: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-m", f"tests.chaos.{name}", "--json", *arguments],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr[-3000:]
    told: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return told
