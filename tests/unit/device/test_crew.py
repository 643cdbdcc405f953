"""The crew: steps in an order that their plan allows, failures that take only what needs them along."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from device.engine.port import EngineRefused, EngineUnavailable
from device.reconcile.crew import Crew
from device.reconcile.steps import Draft, Plan, Remove, Step
from tests.unit.device.worlds import app, shown

WEB = app()


def plan(*after: tuple[int, ...]) -> Plan:
    """Return a plan of steps named by their numbers."""
    draft = Draft()
    for number, needs in enumerate(after):
        draft.add(Remove(shown(WEB, key=f"c{number}"), cause="a story"), after=needs)
    return draft.plan()


def names(steps: tuple[Step, ...]) -> list[str]:
    return [step.container.id for step in steps if isinstance(step, Remove)]


class Hand:
    """Does steps by noting them; some fail. What is handed out is done when asked, newest first."""

    def __init__(self, failing: dict[str, Exception] | None = None) -> None:
        self.did: list[str] = []
        self.tasks: list[Callable[[], None]] = []
        self.woken = 0
        self._failing = failing or {}
        self.crew = Crew(self.do, wake=self.wake, spawn=self.tasks.append)

    def do(self, step: Step) -> None:
        name = names((step,))[0]
        if name in self._failing:
            raise self._failing[name]
        self.did.append(name)

    def wake(self) -> None:
        self.woken += 1

    def work(self, count: int = 100) -> None:
        while self.tasks and count:
            self.tasks.pop()()
            count -= 1


def test_steps_that_need_nothing_of_each_other_are_handed_out_together() -> None:
    hand = Hand()
    hand.crew.begin("i", plan((), (), (0, 1)))
    assert len(hand.tasks) == 2
    hand.work()
    assert hand.did == ["c1", "c0", "c2"]
    assert names(hand.crew.collected()["i"].done) == ["c0", "c1", "c2"]


def test_a_job_is_busy_until_it_was_collected_and_wakes_the_loop_once() -> None:
    hand = Hand()
    hand.crew.begin("i", plan((), (0,)))
    assert hand.crew.busy == {"i"}
    assert hand.crew.collected() == {}
    hand.work()
    assert hand.woken == 1
    assert hand.crew.busy == {"i"}
    hand.crew.collected()
    assert hand.crew.busy == frozenset()
    assert hand.crew.collected() == {}


def test_a_step_that_fails_takes_along_only_what_needs_it() -> None:
    hand = Hand({"c0": EngineRefused("no", "it will not")})
    hand.crew.begin("i", plan((), (0,), (1,), ()))
    hand.work()
    outcome = hand.crew.collected()["i"]
    assert names(outcome.done) == ["c3"]
    assert names(outcome.left) == ["c0", "c1", "c2"]
    assert (names((outcome.failed,)), str(outcome.error)) == (["c0"], "it will not")  # type: ignore[arg-type]
    assert not outcome.engine_away


def test_an_engine_that_is_away_ends_the_job() -> None:
    hand = Hand({"c0": EngineUnavailable("no answer")})
    hand.crew.begin("i", plan((), (), (1,)))
    hand.tasks.reverse()
    hand.work()
    outcome = hand.crew.collected()["i"]
    assert outcome.engine_away
    assert names(outcome.done) == []


def test_a_cancelled_job_finishes_what_is_under_way_and_begins_nothing() -> None:
    hand = Hand()
    hand.crew.begin("i", plan((), (0,), (1,)))
    hand.work(1)
    hand.crew.cancel("i")
    hand.work()
    assert names(hand.crew.collected()["i"].done) == ["c0"]
    hand.crew.cancel("i")  # one that has ended is nobody's business
    hand.crew.begin("i", plan(()))
    hand.work()
    assert names(hand.crew.collected()["i"].done) == ["c0"]


def test_jobs_of_two_apps_go_on_beside_each_other() -> None:
    hand = Hand()
    hand.crew.begin("i", plan((), (0,)))
    hand.crew.begin("j", plan(()))
    hand.work(1)
    assert set(hand.crew.collected()) == {"j"}
    hand.work()
    assert set(hand.crew.collected()) == {"i"}


def test_a_bug_in_a_step_rises_where_the_job_is_collected() -> None:
    hand = Hand({"c0": KeyError("a bug")})
    hand.crew.begin("i", plan((), (0,)))
    hand.work()
    with pytest.raises(KeyError, match="a bug"):
        hand.crew.collected()
    assert hand.crew.busy == frozenset()


def test_without_other_threads_a_plan_is_done_on_the_spot() -> None:
    did: list[str] = []
    crew = Crew(lambda step: did.extend(names((step,))), wake=lambda: None)
    crew.begin("i", plan((), (), (0, 1), (2,)))
    assert sorted(did[:2]) == ["c0", "c1"]
    assert did[2:] == ["c2", "c3"]
