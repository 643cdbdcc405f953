"""The reported state: sent when it changes, and again until it is held."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from broker.messages import Condition, Generation, InstanceStatus, Progress, ServiceStatus, Status
from device.reporter import AGAIN, COALESCE_S, GAP_S, REVISIONS_PER_RUN, Reporter
from tests.harness.apps import DIGEST
from tests.unit.device.fakes import CONN, FakeClock, Line, Script, nothing, uplink_on

HELD = Generation(era=1, generation=2, digest=DIGEST)
GOOD = Condition(type="EngineAnswers", status=True)
BAD = Condition(type="EngineAnswers", status=False, reason="unavailable")
INTAKE = Condition(type="IntakeReachable", status=True)
WEB = InstanceStatus(instance="iaaaaaaaaaaa", name="web", release=DIGEST, section=DIGEST, state="converged")


class Stage:
    """A reporter on a line."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.line = Line()
        self.reporter = Reporter(uplink_on(self.line), clock=self.clock, disk_free=lambda: 1234)

    def turns(self, *actions: Callable[[], object]) -> list[Status]:
        """Let the thread turn once after each action; return what it sent. What was told before is due."""
        self.clock.sleep(COALESCE_S)
        self.reporter.run(Script(actions, wake=self.reporter.poke))
        return self.line.taken()

    def after(self, seconds: float) -> Callable[[], object]:
        return lambda: self.clock.sleep(seconds)


@pytest.fixture
def stage() -> Stage:
    made = Stage()
    made.reporter.ready()
    return made


def revisions(sent: list[Status]) -> list[int]:
    return [status.revision for status in sent]


def test_a_status_is_the_whole_reported_state(stage: Stage) -> None:
    stage.reporter.accepted(HELD)
    stage.reporter.condition(INTAKE)
    stage.reporter.found((GOOD,), (WEB,))
    assert stage.turns(nothing) == [
        Status(
            conn=CONN, n=1, revision=3, accepted=HELD, conditions=(GOOD, INTAKE), instances=(WEB,), disk_free_bytes=1234
        )
    ]  # fmt: skip


def test_nothing_is_reported_before_the_engine_has_been_looked_at() -> None:
    stage = Stage()
    stage.reporter.accepted(HELD)
    assert stage.turns(nothing) == []
    assert len(stage.turns(stage.reporter.ready)) == 1


def test_a_change_is_a_new_revision_and_telling_the_same_again_is_none(stage: Stage) -> None:
    stage.reporter.condition(GOOD)
    before = stage.reporter.revision
    stage.reporter.condition(GOOD)
    assert stage.reporter.revision == before
    stage.reporter.condition(BAD)
    assert stage.reporter.revision == before + 1


def test_changes_of_one_moment_leave_as_one_status(stage: Stage) -> None:
    def moment() -> None:
        stage.reporter.accepted(HELD)
        stage.reporter.condition(GOOD)
        stage.reporter.condition(INTAKE)

    assert revisions(stage.turns(moment, nothing)) == []
    assert revisions(stage.turns(stage.after(COALESCE_S), nothing)) == [3]


def test_what_a_round_found_is_one_change_and_leaves_at_once_with_what_waits(stage: Stage) -> None:
    def round_of_reconcile() -> None:
        stage.reporter.accepted(HELD)
        stage.reporter.found((GOOD, INTAKE), (WEB,))

    (sent,) = stage.turns(round_of_reconcile, nothing)
    assert (sent.revision, sent.accepted, sent.conditions, sent.instances) == (2, HELD, (GOOD, INTAKE), (WEB,))


def test_a_round_to_which_the_engine_showed_nothing_leaves_the_apps_as_they_were(stage: Stage) -> None:
    stage.reporter.found((GOOD,), (WEB,))
    stage.reporter.found((BAD,), None)
    assert [(sent.conditions, sent.instances) for sent in stage.turns(nothing)] == [((BAD,), (WEB,))]


def test_rounds_that_follow_closely_on_each_other_leave_as_one_status(stage: Stage) -> None:
    def another_round() -> None:
        state = "updating" if stage.reporter.revision % 2 else "converged"
        stage.reporter.found((), (WEB.model_copy(update={"state": state}),))

    assert revisions(stage.turns(*[another_round] * 5, stage.after(GAP_S))) == [1, 5]


def app_of(*services: ServiceStatus, state: str = "converged") -> InstanceStatus:
    return WEB.model_copy(update={"services": services, "state": state})


RUNNING = ServiceStatus(name="web", state="running", health="healthy", container="c0ffee123456")
OTHER = ServiceStatus(name="db", state="running", container="decaf1234567")


def test_a_death_is_told_at_once_by_the_word_of_the_engine(stage: Stage) -> None:
    stage.reporter.found((), (app_of(RUNNING, OTHER),))
    gap, dies = stage.after(GAP_S), lambda: stage.reporter.died("c0ffee1234567890", 137)
    (_, sent) = stage.turns(nothing, gap, dies)
    dead = RUNNING.model_copy(update={"state": "exited", "health": "none", "exit_code": 137})
    assert sent.instances == (app_of(dead, OTHER),)


@pytest.mark.parametrize("state", ["updating", "removing"])
def test_a_death_in_the_midst_of_an_update_is_left_to_the_round(stage: Stage, state: str) -> None:
    stage.reporter.found((), (app_of(RUNNING, state=state),))
    before = stage.reporter.revision
    stage.reporter.died("c0ffee1234567890", 0)
    assert stage.reporter.revision == before


def test_a_death_of_a_container_that_is_not_reported_or_not_running_changes_nothing(stage: Stage) -> None:
    stage.reporter.found((), (app_of(RUNNING.model_copy(update={"state": "restarting"}), OTHER),))
    before = stage.reporter.revision
    stage.reporter.died("c0ffee1234567890", 1)
    stage.reporter.died("abcabcabcabcabca", 1)
    assert stage.reporter.revision == before


def test_conditions_set_by_two_threads_at_once_are_both_kept(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    # One thread read the conditions, the other changed them, the first wrote back what it had read: one was lost.
    class Interrupted:
        """The lock, with the other thread coming in as soon as it is free for the first time."""

        def __init__(self, lock: Any) -> None:
            self.lock = lock
            self.other = [lambda: stage.reporter.condition(INTAKE)]

        def __enter__(self) -> None:
            self.lock.acquire()

        def __exit__(self, *_: object) -> None:
            self.lock.release()
            if self.other:
                self.other.pop()()

    monkeypatch.setattr(stage.reporter, "_lock", Interrupted(stage.reporter._lock))
    stage.reporter.condition(GOOD)
    assert stage.turns(nothing)[0].conditions == (GOOD, INTAKE)


def test_a_status_is_sent_again_with_growing_patience_until_it_is_held(stage: Stage) -> None:
    stage.reporter.condition(GOOD)
    actions = [nothing, nothing, *(stage.after(AGAIN.delay_s(tries, 1.0)) for tries in range(3))]
    assert revisions(stage.turns(*actions)) == [1, 1, 1, 1]
    actions.append(lambda: stage.reporter.held(1))
    assert revisions(stage.turns(*actions, stage.after(1000.0))) == [1, 1, 1, 1]


def test_a_status_is_not_sent_again_before_its_time(stage: Stage) -> None:
    stage.reporter.condition(GOOD)
    assert revisions(stage.turns(nothing, stage.after(AGAIN.delay_s(0, 1.0) - 0.1), nothing)) == [1]


def test_each_wait_for_a_status_to_be_held_is_longer_than_the_one_before(stage: Stage) -> None:
    stage.reporter.condition(GOOD)
    first = stage.after(AGAIN.delay_s(0, 1.0))
    assert revisions(stage.turns(nothing, first, first)) == [1, 1]
    assert revisions(stage.turns(nothing, first, first, first)) == [1, 1, 1]


def test_a_newer_status_takes_the_place_of_one_that_waits_to_be_held(stage: Stage) -> None:
    stage.reporter.condition(GOOD)
    later = (lambda: stage.reporter.condition(BAD), stage.after(GAP_S))
    assert revisions(stage.turns(nothing, *later)) == [1, 2]


def test_holding_an_older_revision_is_not_holding_this_one(stage: Stage) -> None:
    stage.reporter.condition(GOOD)
    stage.reporter.condition(BAD)
    assert revisions(stage.turns(nothing, lambda: stage.reporter.held(1), stage.after(1000.0))) == [2, 2]


def test_a_cloud_that_forgot_what_it_held_is_told_again(stage: Stage) -> None:
    stage.reporter.condition(GOOD)
    holds = [lambda: stage.reporter.held(1), stage.after(1000.0)]
    assert revisions(stage.turns(nothing, *holds)) == [1]
    assert revisions(stage.turns(nothing, *holds, lambda: stage.reporter.held(0))) == [1]


def test_a_new_connection_sends_at_once_what_is_not_held(stage: Stage) -> None:
    stage.reporter.condition(GOOD)
    assert revisions(stage.turns(nothing, nothing, stage.reporter.link_up)) == [1, 1]


def test_without_a_connection_nothing_is_sent_and_nothing_lost(stage: Stage) -> None:
    stage.line.connected = False
    stage.reporter.condition(GOOD)
    assert stage.turns(nothing) == []
    stage.line.connected = True
    assert revisions(stage.turns(nothing)) == [1]


def test_revisions_grow_over_restarts_without_being_kept() -> None:
    first, second = Stage(), Stage()
    first.reporter.started_after(5)
    for n in range(100):
        first.reporter.condition(Condition(type=f"c{n}", status=True))
    first.reporter.started_after(6)  # a later connection of the same run changes nothing
    assert first.reporter.revision == 5 * REVISIONS_PER_RUN + 100
    second.reporter.condition(GOOD)
    second.reporter.started_after(6)
    assert second.reporter.revision > first.reporter.revision


def test_progress_is_told_once_a_second_and_the_rest_dropped(stage: Stage) -> None:
    for done in (1, 2, 3):
        stage.reporter.progress("iaaaaaaaaaaa", done, 10)
    stage.clock.sleep(1.0)
    stage.reporter.progress("iaaaaaaaaaaa", 4, 10)
    assert stage.line.taken() == [
        Progress(conn=CONN, n=n, instance="iaaaaaaaaaaa", phase="pull", done=done, total=10)
        for n, done in ((1, 1), (2, 4))
    ]


def test_a_status_too_large_for_its_channel_is_sent_without_its_services(stage: Stage) -> None:
    noise = random.Random(1)  # noqa: S311 - repeatable, and does not compress
    services = tuple(ServiceStatus(name=f"s{n}", state="exited", reason=noise.randbytes(900).hex()) for n in range(100))
    stage.reporter.found((), (WEB.model_copy(update={"state": "failed", "services": services}),))
    (sent,) = stage.turns(nothing)
    assert [(instance.state, instance.services) for instance in sent.instances] == [("failed", ())]
