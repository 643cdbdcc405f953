"""What goes wrong around a release says nothing about the release: slow transfers, absent engines, full disks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from broker.files import StorageUnavailable
from broker.policy import Policy
from device.engine.port import EngineRefused
from device.reconcile import judgements
from device.reconcile.health import gate_s
from device.reconcile.wanted import wanted
from tests.harness.apps import OTHER_DIGEST, PLACE, section, service
from tests.unit.device.stages import Stage, release
from tests.unit.device.worlds import CHECK, I2, NEW_IMAGE

ONE = release()
TWO = release(digest=OTHER_DIGEST)
OTHER = release(instance=I2, name="other")


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_a_slow_transfer_of_one_app_is_not_held_against_another(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    # It was: the time of the other's transfer counted, in a round whose plan was made before it.
    chain = section(
        {
            "db": service("web", healthcheck=CHECK),
            "web": service(depends_on={"db": {"condition": "service_healthy"}}),
        }
    )
    stage.want(chain)
    stage.turns(4)
    assert stage.states() == ["hello updating"]
    real = stage.engine.pull

    def slow(image: str, **keys: Any) -> None:
        stage.clock.sleep(gate_s(wanted(chain, PLACE)) + 1)
        stage.engine.become("db", "running", "healthy")
        real(image, **keys)

    monkeypatch.setattr(stage.engine, "pull", slow)
    stage.want(chain, release(instance=I2, name="other", digest=OTHER_DIGEST))
    stage.turns(1)
    assert stage.states()[0] == "hello updating"
    assert stage.settle()[0] == "hello converged"


def test_the_time_an_engine_was_away_is_not_held_against_a_release(stage: Stage) -> None:
    checked = release(healthcheck=CHECK)
    stage.want(checked)
    stage.turns(5)
    assert stage.states() == ["hello updating"]
    stage.engine.available = False
    for _ in range(4):
        stage.clock.sleep(gate_s(wanted(checked, PLACE)))
        stage.turns()
    stage.engine.available = True
    assert stage.settle() == ["hello updating"]
    stage.engine.become("web", "running", "healthy")
    assert stage.settle() == ["hello converged"]


def test_one_apps_backoff_does_not_slow_the_rounds_of_another(stage: Stage) -> None:
    stage.engine.registry.discard(NEW_IMAGE)
    stage.want(TWO, OTHER)
    stage.turns(4)
    assert stage.mailbox.waits == [0.0, 0.0, 0.0]  # the other app is fetched, made and started without a pause


@pytest.mark.parametrize("call", ["observe", "has_image"])
def test_a_look_that_the_engine_refuses_means_unknown_and_never_gone(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    stage.want(ONE)
    stage.settle()

    def refusing(*_: object) -> None:
        raise EngineRefused("engine_error", "layer does not exist")

    with monkeypatch.context() as patched:
        patched.setattr(stage.engine, call, refusing)
        stage.want(TWO)
        stage.turns(2)
        assert stage.reports[-1].engine_error == "layer does not exist"
        assert stage.runs() == ["hello one"]
    assert stage.settle() == ["hello converged"]
    assert stage.runs() == ["hello two"]


def test_a_good_release_the_owner_no_longer_allows_is_not_made_again(stage: Stage) -> None:
    privileged = release(privileged=True)
    stage.restart(Policy(allow_privileged=True))
    stage.want(privileged)
    stage.settle()
    stage.restart(Policy())
    for container in list(stage.engine.by_id):
        stage.engine.remove(container)
    stage.settle()
    assert stage.ids() == set()
    assert stage.status().message.startswith("refused by the device's policy")


def test_a_bad_release_does_not_give_way_to_one_that_the_owner_no_longer_allows(stage: Stage) -> None:
    stage.restart(Policy(allow_privileged=True))
    stage.want(release(privileged=True))
    stage.settle()
    stage.restart(Policy())
    bad = release(digest=OTHER_DIGEST, healthcheck=CHECK)
    stage.want(bad)
    stage.turns(5)
    stage.engine.become("web", "running", "unhealthy")
    stage.settle()
    assert stage.runs() == ["hello two"]
    assert stage.states() == ["hello failed"]
    assert "no release to go back to" in stage.status().message


def test_a_judgement_that_could_not_be_written_is_not_remembered_either(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> None:
        raise StorageUnavailable(f"cannot write {path}: no space left")

    stage.want(ONE)
    stage.settle()
    stage.want(release(digest=OTHER_DIGEST, healthcheck=CHECK))
    stage.turns(5)
    with monkeypatch.context() as patched:
        patched.setattr(judgements, "write_durably", full)
        stage.engine.become("web", "running", "unhealthy")
        stage.turns(3)
        assert "no space left" in stage.reports[-1].storage_error
        assert stage.runs() == ["hello two"]  # a restart would have to judge anew, so nothing is done on it yet
    stage.settle()
    assert stage.runs() == ["hello one"]
    assert stage.reports[-1].storage_error == ""
