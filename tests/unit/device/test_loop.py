"""Whole lives of apps on the memory engine. A turn is one round of the loop; time is the script's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from broker.messages import AppSection, Retire
from broker.policy import Policy
from device.engine.memory import MemoryEngine
from device.engine.port import EngineRefused
from device.reconcile.apps import WAITING_S
from device.reconcile.health import gate_s
from device.reconcile.loop import RESYNC_S, Report
from device.reconcile.requests import Resync
from device.reconcile.wanted import wanted
from tests.harness.apps import OTHER_DIGEST, PLACE
from tests.unit.device.fakes import desired
from tests.unit.device.stages import INSTANCE, Stage, release
from tests.unit.device.worlds import CHECK, I2, NEW_IMAGE

ONE = release()
TWO = release(digest=OTHER_DIGEST)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_an_app_is_fetched_made_and_started_and_watched_before_it_counts(stage: Stage) -> None:
    stage.want(ONE)
    stage.turns(1)
    assert stage.status().message == "fetching 1 images"
    assert stage.conditions() == ["Fetching"]
    stage.turns(2)
    assert stage.plans() == [("create web: missing", "start web: created, not yet started")]
    assert stage.status().message == "service web is running, and watched for 5 s"
    assert stage.conditions() == ["Switching"]
    stage.clock.sleep(5)
    stage.turns(1)
    assert stage.states() == ["hello converged"]
    assert stage.conditions() == ["Healthy"]
    assert stage.told == [(INSTANCE, 1, 1)]


def test_without_a_desired_state_nothing_is_touched(stage: Stage) -> None:
    stage.want(ONE)
    stage.settle()
    stage.generation = 0
    stage.restart()
    stage.turns()
    assert stage.reports[-1] == Report(None, ())
    assert stage.runs() == ["hello one"]


def test_a_new_release_takes_the_place_of_the_old_one(stage: Stage) -> None:
    stage.want(ONE)
    stage.settle()
    stage.want(TWO)
    assert stage.settle() == ["hello converged"]
    assert stage.runs() == ["hello two"]
    assert stage.status().release == TWO.release
    assert [c.name for c in stage.engine.by_id.values()] == ["hello.iaaaaaaaaaaa.web"]


def bad_two(stage: Stage, **keys: Any) -> AppSection:
    """Let a release be asked for that turns out unhealthy; return it once it was judged."""
    bad = release(digest=OTHER_DIGEST, healthcheck=CHECK, **keys)
    stage.want(bad)
    stage.turns(5)
    assert "hello two" in stage.runs()
    stage.become(NEW_IMAGE, "running", "unhealthy")
    stage.turns(2)
    return bad


def test_a_bad_release_makes_room_for_the_one_that_worked(stage: Stage) -> None:
    stage.want(ONE)
    stage.settle()
    before = stage.ids()
    bad = bad_two(stage)
    assert stage.states() == ["hello failed"]
    assert stage.status().message.startswith("goes back to the last good release: service web is running and unhealthy")
    stage.settle()
    assert stage.runs() == ["hello one"]
    assert stage.ids() == before  # the very container that worked: nothing had to be made
    assert stage.status().state == "failed"
    assert stage.status().release == ONE.release
    assert stage.status().message.startswith("went back to the last good release: service web is running and unhealthy")
    assert "RolledBack" in stage.conditions()
    assert bad.digest != ONE.digest


def test_a_bad_release_is_not_tried_again_by_itself_nor_after_a_restart(stage: Stage) -> None:
    stage.want(ONE)
    stage.settle()
    bad_two(stage)
    stage.settle()
    before = stage.ids()
    stage.clock.sleep(100_000)
    stage.settle()
    stage.restart()
    stage.settle()
    assert stage.ids() == before
    assert stage.runs() == ["hello one"]


def test_the_same_bad_release_in_a_newer_generation_is_not_tried_again(stage: Stage) -> None:
    stage.want(ONE)
    stage.settle()
    bad = bad_two(stage)
    stage.settle()
    before = stage.ids()
    stage.want(bad)
    stage.settle()
    assert stage.ids() == before


def test_a_new_attempt_is_a_new_try(stage: Stage) -> None:
    stage.want(ONE)
    stage.settle()
    bad_two(stage)
    stage.settle()
    stage.want(release(digest=OTHER_DIGEST, healthcheck=CHECK, attempt=1))
    stage.turns(5)
    stage.engine.become("web", "running", "healthy")
    assert stage.settle() == ["hello converged"]
    assert stage.runs() == ["hello two"]


def test_a_new_attempt_of_a_first_release_starts_what_ended_badly_again(stage: Stage) -> None:
    stage.want(release(restart={"policy": "no"}))
    stage.turns(4)
    stage.engine.become("web", "exited", exit_code=3)
    assert stage.settle() == ["hello failed"]
    stage.want(release(restart={"policy": "no"}, attempt=1))
    stage.turns(4)
    assert stage.runs() == ["hello one"]


def test_a_change_of_another_app_does_not_try_a_bad_release_again(stage: Stage) -> None:
    stage.want(ONE)
    stage.settle()
    bad = bad_two(stage)
    stage.settle()
    before = stage.ids()
    stage.want(bad, release(instance=I2, name="other"))
    assert stage.settle() == ["hello failed", "other converged"]
    assert before < stage.ids()
    assert stage.runs() == ["hello one", "other one"]


def test_a_bad_first_release_stays_for_people_to_look_at_and_is_failed(stage: Stage) -> None:
    bad_two(stage)
    before = stage.ids()
    assert stage.settle() == ["hello failed"]
    assert stage.ids() == before


def test_a_release_that_worked_and_falls_ill_is_degraded_and_kept(stage: Stage) -> None:
    checked = release(healthcheck=CHECK)
    stage.want(checked)
    stage.turns(5)
    stage.engine.become("web", "running", "healthy")
    assert stage.settle() == ["hello converged"]
    stage.engine.become("web", "running", "unhealthy")
    assert stage.settle() == ["hello degraded"]
    assert "Degraded" in stage.conditions()
    stage.engine.become("web", "running", "healthy")
    assert stage.settle() == ["hello converged"]


def test_a_release_that_gets_nowhere_fails_when_its_time_is_over(stage: Stage) -> None:
    slow = release(healthcheck=CHECK)
    stage.want(slow)
    stage.turns(5)
    assert stage.states() == ["hello updating"]
    stage.clock.sleep(gate_s(wanted(slow, PLACE)) + 1)
    stage.turns()
    assert stage.states() == ["hello failed"]


def test_a_running_release_is_not_touched_while_the_next_one_cannot_be_fetched(stage: Stage) -> None:
    stage.want(ONE)
    stage.settle()
    stage.engine.registry.discard(NEW_IMAGE)
    stage.want(TWO)
    before = stage.ids()
    for _ in range(5):
        stage.turns(2)
        stage.clock.sleep(100)
    assert stage.ids() == before
    assert stage.runs() == ["hello one"]
    assert stage.status().state == "updating"
    assert "manifest unknown" in stage.status().message
    stage.engine.registry.add(NEW_IMAGE)
    assert stage.settle() == ["hello converged"]
    assert stage.runs() == ["hello two"]


def test_what_runs_is_kept_running_while_the_next_release_is_fetched(stage: Stage) -> None:
    stage.want(ONE)
    stage.settle()
    stage.engine.registry.discard(NEW_IMAGE)
    stage.want(TWO)
    stage.turns(2)
    for key in list(stage.engine.by_id):
        stage.engine.remove(key)
    stage.settle()
    assert stage.runs() == ["hello one"]
    assert stage.states() == ["hello updating"]


def test_a_transfer_that_failed_is_tried_again_later_and_not_at_once(stage: Stage) -> None:
    stage.engine.registry.clear()
    stage.want(ONE)
    stage.turns(5)
    assert stage.engine.calls.count("pull") == 1
    stage.clock.sleep(3)
    stage.turns(5)
    assert stage.engine.calls.count("pull") == 2


def test_a_step_that_failed_is_tried_again_later_and_not_at_once(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    refusals = [EngineRefused("engine_error", "out of something")] * 2
    real = MemoryEngine.start

    def start(self: MemoryEngine, container_id: str) -> None:
        if refusals:
            raise refusals.pop()
        real(self, container_id)

    monkeypatch.setattr(MemoryEngine, "start", start)
    stage.want(ONE)
    stage.turns(6)
    assert len(refusals) == 1
    assert "out of something" in stage.status().message
    stage.clock.sleep(2)
    stage.turns(2)
    assert len(refusals) == 0
    stage.clock.sleep(4)
    assert stage.settle() == ["hello converged"]


def test_a_resync_tries_at_once_what_is_backing_off(stage: Stage) -> None:
    stage.engine.registry.clear()
    stage.want(ONE)
    stage.turns(2)
    answers: list[bool] = []
    stage.reconciler.ask(Resync(), lambda ok, message: answers.append(ok))
    stage.turns(2)
    assert answers == [True]
    assert stage.engine.calls.count("pull") == 2


def test_an_app_that_cannot_go_on_does_not_hold_up_another(stage: Stage) -> None:
    stage.engine.registry.discard(NEW_IMAGE)
    stage.want(TWO, release(instance=I2, name="other"))
    assert stage.settle() == ["hello updating", "other converged"]


def test_an_engine_that_does_not_answer_means_unknown_and_never_gone(stage: Stage) -> None:
    stage.want(ONE)
    stage.settle()
    stage.engine.available = False
    stage.turns(3)
    assert stage.reports[-1].engine_error == "no answer from the engine"
    assert stage.reports[-1].instances == ()
    stage.engine.available = True
    assert stage.settle() == ["hello converged"]
    assert stage.engine.calls.count("create") == 1


def test_a_transfer_is_left_when_a_newer_state_no_longer_wants_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.want(ONE)
    stage.settle()

    def pull(image: str, *, token: str, progress: Any) -> None:
        stage.want(ONE)  # the operator takes it back while it is being fetched
        stage.reconciler.fetcher.want({})
        progress(1, 2)
        raise AssertionError("it went on")

    monkeypatch.setattr(stage.engine, "pull", pull)
    stage.want(TWO)
    stage.turns(3)
    assert stage.runs() == ["hello one"]
    assert stage.engine.calls.count("stop") == 0
    assert stage.states() == ["hello converged"]
    assert stage.reports[-1].desired == desired(3, apps=(ONE,))


def test_a_bad_release_is_replaced_at_once_and_not_at_the_next_look(stage: Stage) -> None:
    stage.want(ONE)
    stage.settle()
    stage.want(release(digest=OTHER_DIGEST, healthcheck=CHECK))
    stage.turns(5)
    stage.become(NEW_IMAGE, "running", "unhealthy")
    stage.lived()
    stage.turns(1)
    assert stage.lived() == ["stop", "start", "remove"]
    assert stage.runs() == ["hello one"]


def test_the_loop_rests_when_all_is_done_and_looks_soon_while_something_waits(stage: Stage) -> None:
    stage.want(release(healthcheck=CHECK))
    stage.turns(6)
    assert stage.mailbox.waits[-1] == WAITING_S
    stage.engine.become("web", "running", "healthy")
    stage.turns(4)
    assert stage.mailbox.waits[-1] == RESYNC_S


def test_a_round_in_which_nothing_changed_is_one_list_call_and_nothing_else(stage: Stage) -> None:
    stage.want(ONE, release(instance=I2, name="other"))
    stage.settle()
    written = (stage.folder / "journal").stat().st_ino
    stage.engine.calls.clear()
    stage.mailbox.poke()
    stage.turns(2)
    assert [call for call in stage.engine.calls if call != "wait_for_event"] == ["containers", "containers"]
    assert (stage.folder / "journal").stat().st_ino == written


def test_networks_and_volumes_are_looked_at_again_after_an_event(stage: Stage) -> None:
    stage.want(ONE)
    stage.settle()
    stage.engine.calls.clear()
    stage.reconciler.engine_changed()
    stage.turns(1)
    assert [c for c in stage.engine.calls if c != "wait_for_event"] == ["containers", "resources", "details"]


def test_an_app_that_is_no_longer_wanted_goes_with_what_was_learnt_of_it(stage: Stage) -> None:
    stage.want(ONE)
    stage.settle()
    bad_two(stage)
    stage.settle()
    stage.want()
    stage.turns(1)
    assert stage.states() == ["hello removing"]
    stage.settle()
    assert stage.ids() == set()
    assert stage.states() == []
    assert stage.entry().good is None


def test_an_app_the_policy_refuses_is_not_made_and_the_reason_told(stage: Stage) -> None:
    stage.want(release(privileged=True))
    stage.settle()
    assert stage.ids() == set()
    why = "refused by the device's policy: service web: privileged is not allowed (policy.allow_privileged)"
    assert [(s.state, s.message) for s in stage.reports[-1].instances] == [("failed", why)]
    assert stage.conditions() == ["Refused"]


def test_a_refused_release_leaves_the_good_one_running_and_is_told_once(stage: Stage) -> None:
    # It was told twice: as refused, and as one that had been tried and had gone back.
    stage.want(ONE)
    stage.settle()
    before = stage.ids()
    stage.want(release(privileged=True))
    assert stage.settle() == ["hello failed"]
    assert stage.status().message.startswith("refused by the device's policy")
    assert [service.state for service in stage.status().services] == ["running"]
    assert stage.ids() == before


def test_a_refused_release_leaves_one_running_that_was_not_judged_yet(stage: Stage) -> None:
    # It was taken for an app that is no longer wanted, and removed.
    stage.want(release(healthcheck=CHECK))
    stage.turns(4)
    before = stage.ids()
    assert stage.runs() == ["hello one"]
    stage.want(release(privileged=True), release(instance=I2, name="other"))
    assert stage.settle() == ["hello failed", "other converged"]
    assert before < stage.ids()
    assert stage.runs() == ["hello one", "other one"]


def test_a_policy_that_was_tightened_does_not_stop_what_runs(stage: Stage) -> None:
    stage.restart(Policy(allow_privileged=True))
    stage.want(release(privileged=True))
    stage.settle()
    stage.restart(Policy())
    assert stage.settle() == ["hello failed"]
    assert stage.runs() == ["hello one"]


def test_a_release_that_cannot_be_started_is_failed_after_its_time_and_the_good_one_comes_back(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.want(ONE)
    stage.settle()
    start = MemoryEngine.start

    def refusing(self: MemoryEngine, container_id: str) -> None:
        if self._known(container_id).image == NEW_IMAGE:
            raise EngineRefused("engine_refused", "no such command")
        start(self, container_id)

    monkeypatch.setattr(MemoryEngine, "start", refusing)
    stage.want(TWO)
    stage.turns(3)
    stage.clock.sleep(1000)
    stage.turns(6)
    assert stage.runs() == ["hello one"]
    assert stage.settle() == ["hello failed"]
    assert "no such command" in stage.status().message


def test_a_release_of_which_a_container_is_refused_disturbs_nothing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.want(ONE)
    stage.settle()
    before = stage.ids()
    create = MemoryEngine.create

    def refusing(self: MemoryEngine, container: Any) -> None:
        if container.image == NEW_IMAGE:
            raise EngineRefused("engine_refused", "no such device")
        create(self, container)

    monkeypatch.setattr(MemoryEngine, "create", refusing)
    stage.want(TWO)
    stage.lived()
    stage.turns(5)
    assert stage.lived() == ["pull"]
    assert stage.runs() == ["hello one"]
    stage.clock.sleep(1000)
    assert stage.settle() == ["hello failed"]
    assert stage.ids() == before


@pytest.mark.parametrize(("wipe", "left"), [("secrets", {"hello.data"}), ("all", set())])
def test_a_device_that_is_to_go_removes_its_apps_and_wipes_what_it_was_told(
    stage: Stage, wipe: str, left: set[str]
) -> None:
    stage.want(ONE)
    stage.settle()
    stage.engine.volumes.add("hello.data")
    told = list[Retire]()
    stage.reconciler.wipe = told.append
    retire = Retire.model_validate({"wipe": wipe})
    stage.mailbox.put(desired(stage.generation + 1, retire=retire))
    stage.turns(1)
    assert (stage.reports[-1].wiped, told) == (False, [])
    stage.turns(5)
    assert stage.runs() == []
    assert stage.engine.volumes == left
    assert (stage.reports[-1].wiped, told) == (True, [retire])
    assert [each.name for each in stage.folder.iterdir()] == ["journal"]
