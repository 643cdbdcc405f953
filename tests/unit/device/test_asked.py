"""What people ask besides the desired state, from the question to the engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from device.engine.port import EngineRefused
from device.reconcile.asked import RESTART_S, Restarting, Trouble, came_of
from device.reconcile.facts import Run
from device.reconcile.lock import HeldLock
from device.reconcile.requests import Request, Restart, Resync, Start, Stop, Unlock
from tests.harness.apps import OTHER_DIGEST, section, service
from tests.unit.device.stages import INSTANCE, Stage, release
from tests.unit.device.worlds import NEW_IMAGE, app, became, shown

ALWAYS: dict[str, Any] = {"restart": {"policy": "always"}}
ONE = release()
TWO = release(digest=OTHER_DIGEST)
ILL = {"condition": "service_healthy"}


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def ask(stage: Stage, request: Request) -> str:
    """Ask, let the loop go on, and return the answer."""
    answers: list[str] = []
    stage.reconciler.ask(request, lambda ok, message: answers.append(f"{'yes' if ok else 'no'}: {message}"))
    stage.turns(3)
    assert len(answers) == 1
    return answers[0]


def pair(**keys: Any) -> Any:
    return section({"db": service("web", **ALWAYS), "web": service(depends_on={"db": keys}, **ALWAYS)})


def states(stage: Stage) -> dict[str, str]:
    return {c.service: c.state for c in stage.engine.by_id.values()}


def test_a_service_is_restarted_and_nothing_else_is_touched(stage: Stage) -> None:
    stage.want(pair())
    stage.settle()
    stage.lived()
    assert ask(stage, Restart(INSTANCE, "web")) == "yes: 1 container runs again"
    assert stage.lived() == ["stop", "start"]
    assert stage.settle() == ["hello converged"]
    assert stage.lived() == []


def test_a_restart_is_answered_when_it_has_come_about_and_not_before(stage: Stage) -> None:
    stage.want(ONE)
    stage.settle()
    answers: list[str] = []
    seen: list[tuple[str, list[str]]] = []
    stage.reconciler.ask(Restart(INSTANCE), lambda ok, message: answers.append(message))
    for call in ("stop", "start"):
        real = getattr(stage.engine, call)

        def told(*args: Any, real: Any = real, call: str = call, **keys: Any) -> None:
            seen.append((call, list(answers)))
            real(*args, **keys)

        setattr(stage.engine, call, told)
    stage.turns(3)
    assert seen == [("stop", []), ("start", [])]
    assert answers == ["1 container runs again"]


def test_a_restart_that_the_engine_refuses_is_answered_with_its_reason(stage: Stage) -> None:
    stage.want(ONE)
    stage.settle()

    def refused(container_id: str) -> None:
        raise EngineRefused("engine_refused", "port 80 is already allocated")

    stage.engine.start = refused  # type: ignore[method-assign]
    told = ask(stage, Restart(INSTANCE))
    assert told.startswith("no: start web ")
    assert told.endswith(": asked to restart: port 80 is already allocated")


def test_a_restart_that_waits_for_what_does_not_come_is_answered_after_a_while(stage: Stage) -> None:
    checked = {"healthcheck": {"test": ["CMD", "true"]}} | ALWAYS
    stage.want(section({"db": service("web", **checked), "web": service(depends_on={"db": ILL}, **ALWAYS)}))
    stage.settle()
    stage.engine.become("db", "running", "healthy")
    stage.settle()
    stage.engine.become("db", "running", "unhealthy")
    answers: list[str] = []
    stage.reconciler.ask(Restart(INSTANCE, "web"), lambda ok, message: answers.append(f"{ok}: {message}"))
    stage.turns(3)
    assert answers == []
    assert stage.mailbox.waits[-1] <= RESTART_S + 10.0
    stage.clock.sleep(RESTART_S + 10.0)
    stage.turns(1)
    assert answers == ["False: web does not run again after 55 s"]


NOW, BEFORE = 5_000, 4_000
RESTARTED: list[tuple[str, dict[str, Any], dict[str, Any], tuple[bool, str] | None]] = [
    ("it has not begun", {}, {"started_at_ms": BEFORE}, None),
    ("it runs again", {}, {}, (True, "1 container runs again")),
    ("it is between two runs", {"state": "restarting", "exit_code": 1}, {}, None),
    ("it fell and is started again", {"state": "exited", "exit_code": 1}, {}, None),
    (
        "it has done its work",
        {"state": "exited", "exit_code": 0, "service": "task"},
        {},
        (True, "1 container runs again"),
    ),
    (
        "its work failed",
        {"state": "exited", "exit_code": 3, "service": "task"},
        {},
        (False, "task was started and ended with code 3"),
    ),
]


@pytest.mark.parametrize(("changes", "run", "expected"), [row[1:] for row in RESTARTED], ids=[r[0] for r in RESTARTED])
def test_what_became_of_a_restart(changes: dict[str, Any], run: dict[str, Any], expected: Any) -> None:
    both = app({"web": service(**ALWAYS), "task": service("task", restart={"policy": "no"})})
    container = became(shown(both), **changes)
    told = came_of(
        Restarting(INSTANCE, {container.id: BEFORE}, since=0.0, patience_s=60.0, failures=0),
        both.section,
        {container.id: container},
        {container.id: Run(**{"started_at_ms": NOW} | run)},
        trouble=Trouble(),
        stopped=frozenset(),
        now=10.0,
    )
    assert told == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"section": None}, (False, "the app is not wanted on this device any more")),
        ({"containers": {}}, (False, "0 containers run again; 1 made way for others")),
        ({"stopped": frozenset({"web"})}, (False, "web was stopped by request meanwhile")),
        ({"trouble": Trouble(1, "start web: no")}, (False, "start web: no")),
        ({"now": 60.0}, (False, "web does not run again after 60 s")),
    ],
    ids=["another wish", "another container", "a stop", "a failed step", "nothing"],
)
def test_what_can_come_between_a_restart_and_its_end(changes: dict[str, Any], expected: Any) -> None:
    web = app({"web": service(**ALWAYS)})
    container = shown(web)
    usual: dict[str, Any] = {
        "section": web.section,
        "containers": {container.id: container},
        "runs": {container.id: Run(started_at_ms=BEFORE)},
        "trouble": Trouble(),
        "stopped": frozenset(),
        "now": 10.0,
    }
    made = Restarting(INSTANCE, {container.id: BEFORE}, since=0.0, patience_s=60.0, failures=0)
    keys = usual | changes
    assert came_of(made, keys.pop("section"), keys.pop("containers"), keys.pop("runs"), **keys) == expected


def test_what_hangs_on_a_restarted_service_is_restarted_with_it(stage: Stage) -> None:
    stage.want(pair(restart=True))
    stage.settle()
    stage.lived()
    ask(stage, Restart(INSTANCE, "db"))
    assert stage.lived() == ["stop", "stop", "start", "start"]
    assert stage.settle() == ["hello converged"]


def test_a_restart_that_was_taken_is_carried_out_although_the_worker_is_killed(stage: Stage) -> None:
    stage.want(section({"web": service(restart={"policy": "no"})}))  # nothing else would start it again
    stage.settle()
    (key,) = stage.ids()
    stage.reconciler.ask(Restart(INSTANCE), lambda ok, message: None)
    real = stage.engine.start

    def killed(container_id: str) -> None:
        raise KeyboardInterrupt

    stage.engine.start = killed  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        stage.turns(3)
    stage.engine.start = real  # type: ignore[method-assign]
    assert stage.engine.by_id[key].state == "exited"
    stage.restart()
    assert stage.settle() == ["hello converged"]
    assert stage.ids() == {key}
    assert stage.engine.by_id[key].state == "running"


def test_a_request_is_not_judged_by_a_look_that_was_before_it(stage: Stage) -> None:
    stage.want(ONE)
    stage.settle()
    answers: list[bool] = []
    stage.engine.become("web", "exited")
    real = stage.engine.containers

    def looked() -> Any:
        seen = real()
        if not answers and seen[0].state == "exited":  # the engine starts it again while the list travels
            stage.engine.become("web", "running")
            stage.reconciler.ask(Restart(INSTANCE), lambda ok, message: answers.append(ok))
        return seen

    stage.engine.containers = looked  # type: ignore[method-assign]
    stage.mailbox.poke()
    stage.turns(3)
    assert answers == [True]


def test_a_request_waits_for_an_engine_that_is_away_and_is_answered_once(stage: Stage) -> None:
    stage.want(ONE)
    stage.settle()
    stage.engine.available = False
    answers: list[bool] = []
    stage.reconciler.ask(Restart(INSTANCE), lambda ok, message: answers.append(ok))
    stage.turns(3)
    assert answers == []
    stage.engine.available = True
    stage.turns(3)
    assert answers == [True]


def test_a_stopped_app_stays_stopped_over_a_restart_of_everything(stage: Stage) -> None:
    stage.want(ONE)
    stage.settle()
    assert ask(stage, Stop(INSTANCE)) == "yes: stopped until started: web"
    assert states(stage) == {"web": "exited"}
    assert stage.status().message == "stopped by request: web"
    stage.restart()
    stage.engine.become("web", "running")  # an engine that starts what was to run always
    stage.settle()
    assert states(stage) == {"web": "exited"}
    assert stage.status().services[0].reason == "stopped by request"
    assert "Healthy" in stage.conditions()
    assert ask(stage, Start(INSTANCE)) == "yes: may run again: web"
    assert states(stage) == {"web": "running"}
    assert stage.settle() == ["hello converged"]
    assert stage.status().message == ""


def test_a_stopped_service_that_may_end_is_started_when_asked(stage: Stage) -> None:
    stage.want(section({"web": service()}))
    stage.settle()
    ask(stage, Stop(INSTANCE, "web"))
    assert states(stage) == {"web": "exited"}
    ask(stage, Start(INSTANCE, "web"))
    assert states(stage) == {"web": "running"}


def test_one_service_can_be_stopped_and_the_other_runs_on(stage: Stage) -> None:
    stage.want(pair())
    stage.settle()
    ask(stage, Stop(INSTANCE, "db"))
    assert states(stage) == {"db": "exited", "web": "running"}


def test_a_newer_release_runs_although_the_old_one_was_stopped(stage: Stage) -> None:
    stage.want(ONE)
    stage.settle()
    ask(stage, Stop(INSTANCE))
    stage.want(TWO)
    stage.settle()
    assert stage.runs() == ["hello two"]


def test_what_cannot_be_done_is_answered_and_changes_nothing(stage: Stage) -> None:
    stage.want(ONE)
    stage.settle()
    stage.lived()
    assert ask(stage, Restart("izzzzzzzzzzz")) == "no: no app instance izzzzzzzzzzz is wanted on this device"
    assert ask(stage, Stop(INSTANCE, "db")) == "no: hello has no service db"
    assert ask(stage, Start(INSTANCE)) == "no: it was not stopped by request"
    assert ask(stage, Unlock(INSTANCE)) == "no: no update lock is held"
    assert stage.lived() == []


def test_before_anything_is_wanted_there_is_nothing_to_ask_for(stage: Stage) -> None:
    assert ask(stage, Resync()) == "no: this device has not accepted a desired state yet"


def test_a_lock_delays_the_switch_and_the_transfer_not(stage: Stage) -> None:
    stage.want(ONE)
    stage.settle()
    stage.locks[INSTANCE] = HeldLock("web", "printing", 300.0)
    stage.want(TWO)
    stage.settle()
    assert NEW_IMAGE in stage.engine.images
    assert stage.runs() == ["hello one"]
    assert stage.states() == ["hello updating"]
    assert stage.status().message == "held by the update lock of web: printing, for at most 5 min"
    assert "Waiting" in stage.conditions()
    assert "Switching" not in stage.conditions()
    assert stage.mailbox.waits[-1] == 300.0


def test_the_end_of_a_lock_lets_the_switch_go_on(stage: Stage) -> None:
    stage.want(ONE)
    stage.settle()
    stage.locks[INSTANCE] = HeldLock("web", "printing", 300.0)
    stage.want(TWO)
    stage.settle()
    del stage.locks[INSTANCE]
    assert stage.settle() == ["hello converged"]
    assert stage.runs() == ["hello two"]
    assert "Waiting" not in stage.conditions()


def test_what_a_lock_protects_is_kept_running_and_mended(stage: Stage) -> None:
    stage.want(ONE)
    stage.settle()
    stage.locks[INSTANCE] = HeldLock("web", "printing", 300.0)
    stage.want(TWO)
    stage.settle()
    for key in list(stage.engine.by_id):
        stage.engine.remove(key)
    stage.settle()
    assert stage.runs() == ["hello one"]


def test_a_lock_can_be_broken_by_request_until_it_is_taken_anew(stage: Stage) -> None:
    stage.want(ONE)
    stage.settle()
    stage.locks[INSTANCE] = HeldLock("web", "printing", 300.0)
    stage.want(TWO)
    stage.settle()
    assert ask(stage, Unlock(INSTANCE)) == "yes: the lock of web does not count any more"
    assert stage.settle() == ["hello converged"]
    assert stage.runs() == ["hello two"]
    stage.want(ONE)  # the lock was broken, and is still the same one
    stage.settle()
    assert stage.runs() == ["hello one"]
    del stage.locks[INSTANCE]
    stage.want(TWO, release(instance="ibbbbbbbbbbb", name="other"))
    stage.settle()
    stage.locks[INSTANCE] = HeldLock("web", "printing", 300.0)
    stage.want(ONE)
    stage.settle()
    assert "hello two" in stage.runs()


def test_a_deployment_can_be_forced_through_a_lock(stage: Stage) -> None:
    stage.want(ONE)
    stage.settle()
    stage.locks[INSTANCE] = HeldLock("web", "printing", 300.0)
    forced = TWO.model_copy(update={"settings": {"force": True}})
    stage.want(forced.model_copy(update={"digest": forced.computed_digest()}))
    stage.settle()
    assert stage.runs() == ["hello two"]


def test_an_app_is_not_taken_away_under_its_lock(stage: Stage) -> None:
    stage.want(ONE)
    stage.settle()
    stage.locks[INSTANCE] = HeldLock("web", "printing", 300.0)
    stage.want()
    stage.settle()
    assert stage.runs() == ["hello one"]
    assert stage.states() == ["hello removing"]
    assert stage.status().message.startswith("held by the update lock of web")
    del stage.locks[INSTANCE]
    stage.settle()
    assert stage.runs() == []
    assert stage.states() == []


def test_a_bad_release_makes_room_whatever_lock_it_takes(stage: Stage) -> None:
    checked = release(digest=OTHER_DIGEST, healthcheck={"test": ["CMD", "true"]})
    stage.want(ONE)
    stage.settle()
    stage.want(checked)
    stage.turns(5)
    stage.locks[INSTANCE] = HeldLock("web", "printing", 300.0)
    stage.become(NEW_IMAGE, "running", "unhealthy")
    stage.settle()
    assert stage.runs() == ["hello one"]
