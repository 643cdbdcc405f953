"""How bringing up a release goes: what counts as coming forward, what is tried again and when."""

from __future__ import annotations

import pytest

from broker.appspec import Hook
from device.engine.port import CANNOT, EngineRefused, EngineUnavailable
from device.reconcile.attempts import RETRY, Attempt, Attempts
from device.reconcile.execute import HookFailed
from device.reconcile.steps import Outcome, Remove, RunHook, Start, Step, Stop
from tests.unit.device.stages import release
from tests.unit.device.worlds import app, shown

WEB = shown(app())
START: Step = Start(WEB, "missing")
STOP: Step = Stop(WEB, 10, "replaced")
HOOK = RunHook(WEB, Hook(command=("mend",)), must_pass=True, cause="after its start")
REFUSED = EngineRefused("engine_refused", "no room")


def failed(step: Step, error: EngineRefused | EngineUnavailable | HookFailed) -> Outcome:
    return Outcome(done=(), left=(step,), failed=step, error=error)


def done(*steps: Step) -> Outcome:
    return Outcome(done=steps, left=(), failed=None, error=None)


def test_what_is_done_brings_it_forward_and_what_is_only_stopped_does_not() -> None:
    attempt = Attempt("d", touched_at=1.0)
    attempt.ended(done(STOP), now=5.0)
    assert attempt.touched_at == 1.0
    attempt.ended(done(STOP, START), now=6.0)
    assert attempt.touched_at == 6.0


def test_failures_wait_longer_each_time_and_are_forgotten_with_the_first_success() -> None:
    attempt = Attempt("d", touched_at=0.0)
    pauses = []
    for _ in range(10):
        attempt.ended(failed(START, REFUSED), now=100.0)
        pauses.append(attempt.retry_at - 100.0)
    assert pauses == [RETRY.delay_s(count, 1.0) for count in range(1, 11)]
    assert pauses[0] < pauses[1] < pauses[-1] == 60.0
    assert attempt.error.startswith("start web")
    assert attempt.error.endswith(": no room")
    assert (attempt.rests(100.0), attempt.rests(161.0)) == (True, False)
    attempt.ended(done(START), now=200.0)
    assert (attempt.failures, attempt.error, attempt.rests(200.0)) == (0, "", False)


def test_an_engine_that_is_away_is_nobodys_failure() -> None:
    attempt = Attempt("d", touched_at=0.0)
    attempt.ended(failed(START, EngineUnavailable("gone")), now=1.0)
    assert (attempt.failures, attempt.error, attempt.retry_at) == (0, "", 0.0)


@pytest.mark.parametrize(("step", "is_rough"), [(START, True), (STOP, False), (Remove(WEB, "old"), False)])
def test_only_a_start_that_is_refused_has_everything_old_make_room(step: Step, is_rough: bool) -> None:
    attempt = Attempt("d", touched_at=0.0)
    attempt.ended(failed(step, REFUSED), now=1.0)
    assert attempt.is_rough == is_rough
    attempt.ended(done(START), now=2.0)
    assert attempt.is_rough == is_rough  # for as long as the release is tried


@pytest.mark.parametrize(
    ("outcome", "hopeless"),
    [
        (failed(HOOK, HookFailed(HOOK, "ended with code 3")), "service web: the hook 'mend' ended with code 3"),
        (failed(START, EngineRefused(CANNOT, "no such option")), "no such option"),
        (failed(START, REFUSED), ""),
    ],
)
def test_what_no_second_try_can_mend_is_said_to_be_so(outcome: Outcome, hopeless: str) -> None:
    attempt = Attempt("d", touched_at=0.0)
    attempt.ended(outcome, now=1.0)
    assert attempt.hopeless.endswith(hopeless)
    assert bool(attempt.hopeless) == bool(hopeless)


def test_another_release_is_another_attempt_and_the_same_one_goes_on() -> None:
    attempts, one, two = Attempts(), release(), release(attempt=1)
    first = attempts.of(one, 1.0)
    assert attempts.of(one, 2.0) is first
    second = attempts.of(two, 3.0)
    assert (second.touched_at, second.digest) == (3.0, two.digest)
    assert attempts.newest(one.instance) is second
    attempts.keep(frozenset())
    assert attempts.newest(one.instance) is None


def test_time_without_an_engine_counts_for_nobody_and_a_retry_can_be_had_at_once() -> None:
    attempts = Attempts()
    attempt = attempts.of(release(), 10.0)
    attempt.ended(failed(START, REFUSED), now=10.0)
    attempts.excuse(30.0)
    assert attempt.touched_at == 40.0
    attempts.retry_now()
    assert not attempt.rests(10.0)
