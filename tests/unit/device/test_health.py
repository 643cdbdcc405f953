"""The judgement: does a release work?"""

from __future__ import annotations

from typing import Any

import pytest

from broker.messages import ServiceStatus
from device.engine.port import Container, Observed
from device.reconcile.health import CRASH_LOOP_S, PATIENCE_S, Verdict, gate_s, judge
from device.reconcile.steps import Waiting
from device.reconcile.wanted import Wanted
from tests.harness.apps import OTHER_DIGEST, service
from tests.unit.device.worlds import CHECK, I2, WEB_IMAGE, app, became, shown

WEB = app({"web": service(healthcheck=CHECK, restart={"policy": "always"})})
PLAIN = app({"web": service(restart={"policy": "always"})})
ONCE = app({"web": service()})
BOTH = app(
    {"db": service("db", healthcheck=CHECK), "web": service(depends_on={"db": {"condition": "service_healthy"}})}
)


def verdict(of: Wanted, *containers: Container, waiting: tuple[Waiting, ...] = (), elapsed_s: float = 1.0) -> Verdict:
    return judge(of, Observed(containers=containers), waiting, elapsed_s=elapsed_s)


def told(of: Wanted, *containers: Container, **keys: Any) -> str:
    found = verdict(of, *containers, **keys)
    return f"{found.state}: {found.message}" if found.message else found.state


def test_a_service_with_a_check_works_once_it_is_healthy() -> None:
    assert told(WEB, shown(WEB, health="starting")) == "updating: service web is running and starting"
    assert told(WEB, shown(WEB, health="healthy")) == "converged"


def test_a_service_without_a_check_works_while_it_runs() -> None:
    assert told(PLAIN, shown(PLAIN)) == "converged"
    assert told(PLAIN, shown(PLAIN, state="created")) == "updating: service web is created"


def test_an_unhealthy_service_fails_at_once() -> None:
    assert told(WEB, shown(WEB, health="unhealthy")) == "failed: service web is running and unhealthy"


@pytest.mark.parametrize("policy", ["no", "on-failure"])
def test_a_service_that_may_end_works_when_it_ended_well_and_fails_when_not(policy: str) -> None:
    once = app({"web": service(restart={"policy": policy})})
    assert told(once, shown(once, state="exited", exit_code=0)) == "converged"
    assert told(once, shown(once, state="exited", exit_code=3)) == "failed: service web is exited with code 3"


@pytest.mark.parametrize("policy", ["always", "unless-stopped"])
@pytest.mark.parametrize("code", [0, 3])
def test_a_service_that_should_run_and_ended_is_waited_for_and_then_failed(policy: str, code: int) -> None:
    always = app({"web": service(restart={"policy": policy})})
    ended = shown(always, state="exited", exit_code=code)
    assert told(always, ended) == f"updating: service web is exited with code {code}"
    assert told(always, ended, elapsed_s=PATIENCE_S + 1) == (
        f"failed: service web is exited with code {code} after {int(PATIENCE_S) + 1} s"
    )


def test_a_crash_loop_may_be_over_in_half_a_minute_and_fails_after_that() -> None:
    looping = shown(PLAIN, state="restarting", exit_code=1)
    assert told(PLAIN, looping, elapsed_s=CRASH_LOOP_S) == "updating: service web is restarting with code 1"
    assert told(PLAIN, looping, elapsed_s=CRASH_LOOP_S + 1) == "failed: service web is restarting with code 1"
    assert CRASH_LOOP_S < PATIENCE_S


def test_time_is_over_only_after_every_check_had_all_its_retries() -> None:
    check = {"test": ["CMD", "x"], "interval_ms": 10_000, "timeout_ms": 5_000, "start_period_ms": 20_000, "retries": 2}
    slow = app({"a": service(healthcheck=check), "b": service(healthcheck=check), "c": service()})
    assert gate_s(slow) == PATIENCE_S + 2 * (20 + 3 * 15)
    starting = [shown(slow, "a", health="healthy"), shown(slow, "b", health="starting"), shown(slow, "c")]
    assert told(slow, *starting, elapsed_s=gate_s(slow)) == "updating: service b is running and starting"
    assert told(slow, *starting, elapsed_s=gate_s(slow) + 1) == "failed: service b is running and starting after 191 s"


def test_a_missing_service_is_waited_for_and_the_wait_has_its_reason() -> None:
    assert told(PLAIN) == "updating: service web is missing"
    cause = Waiting(BOTH.instance, "web", "db is not healthy")
    assert told(BOTH, shown(BOTH, "db", health="healthy"), waiting=(cause,)) == (
        "updating: service web is waiting: db is not healthy"
    )


def test_a_wait_of_another_app_is_not_this_ones() -> None:
    stranger = Waiting(I2, "web", "db is not healthy")
    assert told(PLAIN, waiting=(stranger,)) == "updating: service web is missing"


def test_a_container_of_an_older_release_or_another_app_says_nothing() -> None:
    old = app({"web": service(digest=OTHER_DIGEST, restart={"policy": "always"})})
    assert told(PLAIN, shown(old)) == "updating: service web is missing"
    assert told(PLAIN, became(shown(PLAIN), instance=I2)) == "updating: service web is missing"


def test_one_failed_service_is_enough_and_is_named_before_those_that_wait() -> None:
    seen = [shown(BOTH, "db", health="unhealthy")]
    waits = Waiting(BOTH.instance, "web", "db is not healthy")
    assert told(BOTH, *seen, waiting=(waits,)) == "failed: service db is running and unhealthy"


def test_every_service_is_told_as_the_engine_shows_it() -> None:
    ended = shown(ONCE, key="0123456789abcdef", state="exited", exit_code=3)
    assert verdict(ONCE, ended).services == (
        ServiceStatus(name="web", state="exited", container="0123456789ab", image=WEB_IMAGE, exit_code=3),
    )


def test_an_app_that_worked_and_fell_ill_is_judged_the_same_way() -> None:
    assert told(WEB, shown(WEB, health="unhealthy"), elapsed_s=10_000.0).startswith("failed")
