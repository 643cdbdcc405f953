"""What goes wrong around a release says nothing about the release: slow transfers, absent engines, full disks."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.files import StorageUnavailable
from broker.policy import Policy
from device import checked_file
from device.engine.port import EngineRefused
from device.reconcile.health import CRASH_LOOP_S, gate_s
from device.reconcile.wanted import wanted
from tests.harness.apps import OTHER_DIGEST, PLACE, section, service
from tests.unit.device.stages import MONITOR_S, Stage, release
from tests.unit.device.worlds import CHECK, I2, NEW_IMAGE, WEB_IMAGE

ONE = release()
TWO = release(digest=OTHER_DIGEST)
OTHER = release(instance=I2, name="other")


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_a_service_without_a_check_is_believed_only_after_it_has_run_for_a_while(stage: Stage) -> None:
    # It was believed at the first look that found it running, and the release that worked was forgotten for it.
    stage.want(ONE)
    stage.settle()
    stage.want(TWO)
    stage.turns(6)
    stage.clock.sleep(MONITOR_S - 1)
    stage.turns(2)
    assert stage.states() == ["hello updating"]
    assert stage.entry().good == ONE
    stage.clock.sleep(1)
    stage.turns(2)
    assert stage.states() == ["hello converged"]
    assert stage.entry().good == TWO


def test_the_file_says_for_how_long_a_service_is_watched(stage: Stage) -> None:
    stage.want(release(update={"monitor_ms": 60_000}))
    stage.turns(4)
    stage.clock.sleep(59)
    stage.turns(2)
    assert stage.states() == ["hello updating"]
    stage.clock.sleep(1)
    stage.turns(2)
    assert stage.states() == ["hello converged"]


def test_a_service_that_falls_between_two_looks_is_watched_anew(stage: Stage) -> None:
    stage.want(ONE)
    stage.turns(4)
    for _ in range(4):
        stage.clock.sleep(MONITOR_S - 1)
        stage.engine.become("web", "running", restarts=1)  # each list shows it running
        stage.turns(1)
        assert stage.states() == ["hello updating"]
    stage.clock.sleep(MONITOR_S)
    stage.turns(2)
    assert stage.states() == ["hello converged"]


def test_a_crash_loop_seen_only_while_it_runs_is_a_crash_loop_all_the_same(stage: Stage) -> None:
    stage.want(ONE)
    stage.settle()
    stage.want(TWO)
    stage.turns(5)
    for _ in range(int(CRASH_LOOP_S / 4) + 1):
        stage.clock.sleep(4)
        for key in [k for k, c in stage.engine.by_id.items() if c.image == NEW_IMAGE]:
            stage.engine.become_one(key, "running", restarts=1)
        stage.turns(1)
    stage.turns(2)
    assert stage.runs() == ["hello one"]
    assert "restarts)" in stage.status().message


def test_a_crash_loop_of_a_release_that_worked_is_left_running_and_told(stage: Stage) -> None:
    stage.want(ONE)
    stage.settle()
    stage.engine.become("web", "restarting", exit_code=1)
    stage.turns(1)
    stage.clock.sleep(CRASH_LOOP_S + 1)
    stage.turns(1)
    assert stage.states() == ["hello degraded"]
    stage.want(TWO)  # and a fix gets through at once
    stage.turns(3)
    assert stage.runs() == ["hello two"]


def test_a_service_that_fell_once_is_believed_again_without_an_event(stage: Stage) -> None:
    # It stayed degraded until the next event of the engine, or for the quarter of an hour until a resync.
    stage.want(release())
    stage.settle()
    stage.clock.sleep(3600.0)
    stage.engine.become("web", "running", restarts=1)
    stage.turns(4)
    assert stage.states() == ["hello degraded"]
    waits_s = stage.mailbox.waits[-1]
    assert 0.0 < waits_s <= MONITOR_S
    stage.clock.sleep(waits_s)
    stage.turns(1)
    assert stage.states() == ["hello converged"]


def test_the_check_that_an_image_brings_along_counts(stage: Stage) -> None:
    # Only the file's own was counted: a slow one of the image was judged too early.
    from broker.appspec import Healthcheck

    slow = Healthcheck(test=("CMD", "true"), interval_ms=60_000, retries=5)
    stage.engine.image_checks[WEB_IMAGE] = slow
    stage.want(ONE)
    stage.turns(4)
    stage.clock.sleep(gate_s(wanted(ONE, PLACE)) + 100)
    stage.turns(1)
    assert stage.states() == ["hello updating"]
    assert stage.status().message == "service web is running and starting"
    stage.become(WEB_IMAGE, "running", "healthy")
    stage.turns(2)
    assert stage.states() == ["hello converged"]


def test_a_slow_transfer_of_one_app_is_not_held_against_another(stage: Stage) -> None:
    # It was: the time of the other's transfer counted, in a round whose plan was made before it.
    chain = section(
        {"db": service("web", healthcheck=CHECK), "web": service(depends_on={"db": {"condition": "service_healthy"}})}
    )
    stage.want(chain)
    stage.turns(4)
    assert stage.states() == ["hello updating"]
    stage.clock.sleep(gate_s(wanted(chain, PLACE)) + 1)
    stage.engine.become("db", "running", "healthy")
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
    stage.turns(3)
    assert stage.mailbox.waits == [0.0, 0.0]
    assert stage.runs() == ["other one"]


@pytest.mark.parametrize("call", ["containers", "has_image", "resources"])
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
        stage.reconciler.engine_changed()
        stage.turns(2)
        assert stage.reports[-1].engine_error == "layer does not exist"
        assert stage.runs() == ["hello one"]
    assert stage.settle() == ["hello converged"]
    assert stage.runs() == ["hello two"]


def test_a_container_that_goes_between_two_looks_at_it_is_no_error(stage: Stage) -> None:
    stage.want(ONE)
    stage.turns(3)
    details = stage.engine.details

    def gone(container_id: str) -> object:
        stage.engine.remove(container_id)
        return details(container_id)

    stage.engine.details = gone  # type: ignore[method-assign,assignment]
    stage.reconciler.engine_changed()
    stage.turns(1)
    del stage.engine.details
    assert stage.reports[-1].engine_error == ""
    assert stage.settle() == ["hello converged"]


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
    stage.want(release(digest=OTHER_DIGEST, healthcheck=CHECK))
    stage.turns(5)
    stage.become(NEW_IMAGE, "running", "unhealthy")
    stage.settle()
    assert stage.runs() == ["hello two"]
    assert stage.states() == ["hello failed"]
    assert "no release to go back to" in stage.status().message


def full(path: Path, data: bytes) -> None:
    raise StorageUnavailable(f"cannot write {path}: no space left")


def test_a_judgement_that_could_not_be_written_is_not_remembered_either(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.want(ONE)
    stage.settle()
    stage.want(release(digest=OTHER_DIGEST, healthcheck=CHECK))
    stage.turns(5)
    with monkeypatch.context() as patched:
        patched.setattr(checked_file, "write_durably", full)
        stage.become(NEW_IMAGE, "running", "unhealthy")
        stage.turns(3)
        assert "no space left" in stage.reports[-1].storage_error
        assert stage.runs() == ["hello two"]  # a restart would have to judge anew, so nothing is done on it yet
    stage.settle()
    assert stage.runs() == ["hello one"]
    assert stage.reports[-1].storage_error == ""


def test_a_switch_that_cannot_be_written_down_is_not_begun(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.want(ONE)
    stage.settle()
    with monkeypatch.context() as patched:
        patched.setattr(checked_file, "write_durably", full)
        stage.want(TWO)
        stage.lived()
        stage.turns(4)
        assert stage.lived() == ["pull"]
    assert stage.settle() == ["hello converged"]
    assert stage.runs() == ["hello two"]
