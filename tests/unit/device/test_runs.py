"""How containers have run: by our own clock, told apart by the engine's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from device.engine.port import Details
from device.reconcile.facts import Run
from device.reconcile.runs import CALM_S, FALLS_MAX, REST_FIRST_S, REST_MAX_S, Runs
from tests.unit.device.worlds import app, became, shown

CONTAINER = shown(app())


class Watched:
    """One container under watch."""

    def __init__(self) -> None:
        self.runs = Runs()
        self.now = 0.0
        self.started, self.restarts = 1, 0
        self.inspected = 0
        self.container = CONTAINER

    def details(self, key: str) -> Details | None:
        self.inspected += 1
        return Details(self.started, self.restarts, oom_killed=False, exit_code=None)

    def look(self, *, closely: bool = False, **changes: Any) -> Run:
        self.container = became(self.container, **changes)
        (self.shown,), found = self.runs.look([self.container], self.details, now=self.now, closely=lambda c: closely)
        return found[self.container.id]

    def falls(self) -> Run:
        self.started += 1
        self.restarts += 1
        return self.look(closely=True)


def test_a_run_begins_when_it_is_first_seen_and_grows_with_our_clock() -> None:
    watched = Watched()
    assert watched.look() == Run(steady_s=0.0, started_at_ms=1)
    watched.now = 7.0
    assert watched.look().steady_s == 7.0


def test_a_container_is_inspected_when_it_changed_and_not_otherwise() -> None:
    watched = Watched()
    for _ in range(3):
        watched.look()
    assert watched.inspected == 1
    watched.look(state="exited", exit_code=1)
    watched.look(state="exited", exit_code=1)
    assert watched.inspected == 2
    watched.look(state="running")
    assert watched.inspected == 3
    watched.look(closely=True)
    assert watched.inspected == 4


def test_a_container_that_never_started_is_not_inspected() -> None:
    watched = Watched()
    watched.look(state="created", closely=True)
    assert watched.inspected == 0


def test_a_fall_between_two_looks_begins_the_run_anew() -> None:
    watched = Watched()
    watched.look()
    watched.now = 4.0
    fell = watched.falls()
    assert (fell.steady_s, fell.restarts) == (0.0, 1)
    watched.now = 6.0
    assert watched.look(closely=True).steady_s == 2.0


def test_a_jump_of_the_engines_clock_changes_nothing() -> None:
    watched = Watched()
    watched.look()
    watched.now = 4.0
    watched.started = 1  # what the engine says of a run stays as it is, whatever its clock shows now
    assert watched.look(closely=True).steady_s == 4.0


def test_restarts_faster_than_any_engines_backoff_are_a_loop() -> None:
    watched = Watched()
    watched.look()
    for _ in range(FALLS_MAX - 1):
        watched.now += 1.0
        assert not watched.falls().is_looping
    watched.now += 1.0
    assert watched.falls().is_looping


def test_restarts_as_slow_as_an_engine_with_backoff_lets_them_are_none() -> None:
    watched = Watched()
    watched.look()
    pause_s = 0.1
    for _ in range(40):
        watched.now += pause_s
        pause_s = min(60.0, pause_s * 2)
        assert not watched.falls().is_looping


def test_a_loop_rests_for_pauses_that_grow_to_five_minutes() -> None:
    watched = Watched()
    watched.look()
    pauses = []
    for _ in range(8):
        pauses.append(watched.runs.rest(CONTAINER.id, watched.now))
        assert watched.look(state="exited").rests_s == pauses[-1]
        watched.now += pauses[-1] + 1
        assert watched.look().rests_s == 0.0
        watched.look(state="running")
        assert watched.falls().is_looping  # after a rest, one fall is enough
    assert pauses[0] == REST_FIRST_S
    assert pauses[-1] == REST_MAX_S == 300.0
    assert pauses == sorted(pauses)


def test_a_calm_time_forgets_what_was_before() -> None:
    watched = Watched()
    watched.look()
    watched.runs.rest(CONTAINER.id, watched.now)
    watched.now += REST_FIRST_S
    watched.look(state="exited")
    watched.look(state="running")
    watched.now += CALM_S
    watched.look()
    watched.now += 1
    assert not watched.falls().is_looping
    assert watched.runs.rest(CONTAINER.id, watched.now) == REST_FIRST_S


def test_a_rest_ends_when_it_is_asked_to() -> None:
    watched = Watched()
    watched.look(state="exited")
    watched.runs.rest(CONTAINER.id, watched.now)
    watched.runs.wake()
    assert watched.look().rests_s == 0.0


def test_what_is_gone_is_forgotten() -> None:
    watched = Watched()
    watched.look()
    watched.runs.look([], watched.details, now=1.0, closely=lambda c: True)
    watched.now = 9.0
    assert watched.look().steady_s == 0.0


def test_a_container_that_goes_between_the_list_and_its_inspection_is_no_error() -> None:
    runs = Runs()
    listed, found = runs.look([CONTAINER], lambda key: None, now=0.0, closely=lambda c: True)
    assert (listed, found[CONTAINER.id]) == ((CONTAINER,), Run())


def died(*, restarts: int) -> Details:
    return Details(1, restarts, oom_killed=False, exit_code=137, state="restarting")


def test_a_container_that_is_still_listed_as_running_is_shown_as_its_inspection_shows_it() -> None:
    watched = Watched()
    watched.look()
    (shown_now,), runs = watched.runs.look(
        [watched.container], lambda key: died(restarts=1), now=9.0, closely=lambda c: True
    )
    assert shown_now == replace(watched.container, state="restarting", exit_code=137)
    assert runs[shown_now.id] == Run(steady_s=0.0, restarts=1, started_at_ms=1)


def test_a_fall_that_an_inspection_shows_before_the_list_does_counts_once() -> None:
    watched = Watched()
    watched.look()
    watched.restarts = FALLS_MAX - 2
    watched.look(closely=True)
    for state in ("running", "restarting"):  # the twelfth would make it a loop
        container = replace(watched.container, state=state)
        _, runs = watched.runs.look(
            [container], lambda key: died(restarts=FALLS_MAX - 1), now=1.0, closely=lambda c: True
        )
    assert not runs[watched.container.id].is_looping


def test_an_inspection_of_what_was_listed_as_ended_does_not_set_it_running() -> None:
    watched = Watched()
    ended = replace(watched.container, state="exited", exit_code=0)
    running = replace(died(restarts=0), state="running")
    (shown_now,), _ = watched.runs.look([ended], lambda key: running, now=0.0, closely=lambda c: True)
    assert shown_now == ended
