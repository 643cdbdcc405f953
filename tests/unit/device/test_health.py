"""The judgement: does a release work?"""

from __future__ import annotations

from typing import Any

import pytest

from broker.appspec import Healthcheck
from broker.messages import ServiceStatus
from device.engine.port import Container
from device.reconcile.facts import Run
from device.reconcile.health import CRASH_LOOP_S, PATIENCE_S, Seen, Verdict, gate_s, judge, soon_s
from device.reconcile.steps import Waiting
from device.reconcile.wanted import Wanted
from tests.harness.apps import DIGEST, OTHER_DIGEST, service
from tests.unit.device.worlds import CHECK, I2, WEB_IMAGE, app, became, shown

ALWAYS: dict[str, Any] = {"restart": {"policy": "always"}}
WEB = app({"web": service(healthcheck=CHECK, **ALWAYS)})
PLAIN = app({"web": service(**ALWAYS)})
ONCE = app({"web": service()})
BOTH = app(
    {"db": service("db", healthcheck=CHECK), "web": service(depends_on={"db": {"condition": "service_healthy"}})}
)
STEADY = Run(steady_s=5.0)


def verdict(of: Wanted, *containers: Container, elapsed_s: float = 1.0, run: Run = STEADY, **keys: Any) -> Verdict:
    return judge(of, Seen(containers, runs={c.id: run for c in containers}, **keys), elapsed_s=elapsed_s)


def told(of: Wanted, *containers: Container, **keys: Any) -> str:
    found = verdict(of, *containers, **keys)
    return f"{found.state}: {found.message}" if found.message else found.state


def test_a_service_with_a_check_works_once_it_is_healthy() -> None:
    assert told(WEB, shown(WEB, health="starting")) == "pending: service web is running and starting"
    assert told(WEB, shown(WEB, health="healthy"), run=Run()) == "good"


def test_a_service_without_a_check_works_once_it_has_run_for_the_monitors_time() -> None:
    assert told(PLAIN, shown(PLAIN), run=Run(steady_s=4.9)) == ("pending: service web is running, and watched for 5 s")
    assert told(PLAIN, shown(PLAIN), run=Run(steady_s=5.0)) == "good"
    assert told(PLAIN, shown(PLAIN, state="created")) == "pending: service web is created"


def test_a_container_that_shows_health_is_judged_by_it_whoever_asked_for_the_check() -> None:
    assert told(PLAIN, shown(PLAIN, health="starting")) == "pending: service web is running and starting"
    assert told(PLAIN, shown(PLAIN, health="unhealthy")) == "bad: service web is running and unhealthy"


def test_an_unhealthy_service_fails_at_once() -> None:
    assert told(WEB, shown(WEB, health="unhealthy")) == "bad: service web is running and unhealthy"


@pytest.mark.parametrize("policy", ["no", "on-failure"])
def test_a_service_that_may_end_works_when_it_ended_well_and_fails_when_not(policy: str) -> None:
    once = app({"web": service(restart={"policy": policy})})
    assert told(once, shown(once, state="exited", exit_code=0)) == "good"
    assert told(once, shown(once, state="exited", exit_code=3)) == "bad: service web is exited with code 3"


@pytest.mark.parametrize("policy", ["always", "unless-stopped"])
@pytest.mark.parametrize("code", [0, 3])
def test_a_service_that_should_run_and_ended_is_waited_for_and_then_failed(policy: str, code: int) -> None:
    always = app({"web": service(restart={"policy": policy})})
    ended = shown(always, state="exited", exit_code=code)
    late_s = gate_s(always) + 1
    assert told(always, ended) == f"pending: service web is exited with code {code}"
    assert told(always, ended, elapsed_s=late_s) == (
        f"bad: service web is exited with code {code} after {int(late_s)} s"
    )


def test_a_crash_loop_may_be_over_in_half_a_minute_and_fails_after_that() -> None:
    looping = shown(PLAIN, state="restarting", exit_code=1)
    assert told(PLAIN, looping, elapsed_s=CRASH_LOOP_S) == "pending: service web is restarting with code 1"
    assert told(PLAIN, looping, elapsed_s=CRASH_LOOP_S + 1) == "bad: service web is restarting with code 1"
    assert CRASH_LOOP_S < PATIENCE_S


def test_a_container_caught_running_in_its_crash_loop_is_no_better() -> None:
    fell = Run(steady_s=1.0, restarts=4)
    assert told(PLAIN, shown(PLAIN), run=fell).startswith("pending: service web is running (4 restarts)")
    assert told(PLAIN, shown(PLAIN), run=fell, elapsed_s=CRASH_LOOP_S + 1) == (
        "bad: service web is running (4 restarts)"
    )
    assert told(WEB, shown(WEB, health="healthy"), run=fell, elapsed_s=CRASH_LOOP_S + 1) == "good"


def test_a_container_that_crashes_too_fast_or_rests_from_it_fails_at_once() -> None:
    assert told(PLAIN, shown(PLAIN), run=Run(is_looping=True)).startswith("bad")
    assert told(PLAIN, shown(PLAIN, state="exited", exit_code=1), run=Run(rests_s=3.0)).startswith("bad")


def test_time_is_over_only_after_every_check_had_all_its_retries() -> None:
    check = {"test": ["CMD", "x"], "interval_ms": 10_000, "timeout_ms": 5_000, "start_period_ms": 20_000, "retries": 2}
    slow = app({"a": service(healthcheck=check), "b": service(healthcheck=check), "c": service()})
    assert gate_s(slow) == PATIENCE_S + 5 + 2 * (20 + 3 * 15)
    starting = [shown(slow, "a", health="healthy"), shown(slow, "b", health="starting"), shown(slow, "c")]
    assert told(slow, *starting, elapsed_s=gate_s(slow)) == "pending: service b is running and starting"
    assert told(slow, *starting, elapsed_s=gate_s(slow) + 1) == "bad: service b is running and starting after 196 s"


def test_the_check_of_an_image_gets_its_time_where_the_file_has_none() -> None:
    check = Healthcheck(test=("CMD", "x"), interval_ms=60_000, timeout_ms=0, retries=1)
    assert gate_s(PLAIN, {WEB_IMAGE: check}) == gate_s(PLAIN) + 120
    assert gate_s(WEB, {WEB_IMAGE: check}) == gate_s(WEB)
    off = app({"web": service(healthcheck={"test": ["NONE"]})})
    assert gate_s(off, {WEB_IMAGE: check}) == PATIENCE_S + 5


def test_a_missing_service_is_waited_for_and_the_wait_has_its_reason() -> None:
    assert told(PLAIN) == "pending: service web is missing"
    cause = Waiting("web", "db is not healthy")
    assert told(BOTH, shown(BOTH, "db", health="healthy"), waiting=(cause,)) == (
        "pending: service web is waiting: db is not healthy"
    )


def test_a_container_of_another_release_is_shown_and_proves_nothing() -> None:
    old = app({"web": service(digest=OTHER_DIGEST, **ALWAYS)})
    found = verdict(PLAIN, shown(old))
    assert (found.state, found.message) == ("pending", "service web is running: of another release")
    assert (found.services[0].image, found.services[0].digest) == (WEB_IMAGE, OTHER_DIGEST)
    assert told(PLAIN, became(shown(old), health="unhealthy", state="running")).startswith("pending")


def test_one_failed_service_is_enough_and_is_named_before_those_that_wait() -> None:
    seen = [shown(BOTH, "db", health="unhealthy")]
    waits = Waiting("web", "db is not healthy")
    assert told(BOTH, *seen, waiting=(waits,)) == "bad: service db is running and unhealthy"


def test_a_service_stopped_by_request_is_held_against_nobody() -> None:
    ended = shown(PLAIN, state="exited", exit_code=137)
    assert told(PLAIN, ended, stopped=frozenset({"web"}), elapsed_s=10_000.0) == "good"
    assert verdict(PLAIN, ended, stopped=frozenset({"web"})).services[0].reason == "stopped by request"


def test_a_service_counts_only_once_its_post_start_hook_has_run() -> None:
    hooked = app({"web": service(post_start=[{"command": ["x"]}], **ALWAYS)})
    assert told(hooked, shown(hooked)) == "pending: service web is running, and its post_start hook has not run"
    key = f"web@{hooked.containers['web'].hash[7:19]}"
    assert told(hooked, shown(hooked), hooked=frozenset({key})) == "good"


def replicas(count: int, **update: Any) -> Wanted:
    return app({"web": service(replicas=count, update=update, **ALWAYS)})


def test_so_many_replicas_may_fail_as_the_file_bears() -> None:
    four = replicas(4, max_failure_ppm=250_000)
    ill = [shown(four, f"web.{n}" if n > 1 else "web", key=f"c{n}") for n in (1, 2, 3, 4)]
    ill[1] = became(ill[1], health="unhealthy")
    assert told(four, *ill) == "good: service web.2 is running and unhealthy"
    ill[2] = became(ill[2], health="unhealthy")
    assert told(four, *ill) == "bad: service web.2 is running and unhealthy"


def test_the_file_says_what_becomes_of_a_failure() -> None:
    for action, expected in (("rollback", "bad"), ("pause", "paused"), ("continue", "good")):
        web = app({"web": service(update={"failure_action": action}, **ALWAYS)})
        assert verdict(web, shown(web, health="unhealthy")).state == expected
    assert verdict(PLAIN, shown(PLAIN, health="unhealthy")).state == "bad"


def test_on_the_way_back_the_file_says_it_for_that_way() -> None:
    web = app({"web": service(rollback={"failure_action": "continue"}, **ALWAYS)})
    assert verdict(web, shown(web, health="unhealthy")).state == "bad"
    assert verdict(web, shown(web, health="unhealthy"), going_back=True).state == "good"


def test_every_container_is_told_as_the_engine_shows_it() -> None:
    ended = shown(ONCE, key="0123456789abcdef", state="exited", exit_code=3)
    run = Run(restarts=2, started_at_ms=7)
    assert verdict(ONCE, ended, run=run).services == (
        ServiceStatus(
            name="web",
            state="exited",
            container="0123456789ab",
            image=WEB_IMAGE,
            exit_code=3,
            restarts=2,
            started_at_ms=7,
            digest=DIGEST,
        ),
    )


def test_an_app_that_worked_and_fell_ill_is_judged_the_same_way() -> None:
    assert told(WEB, shown(WEB, health="unhealthy"), elapsed_s=10_000.0).startswith("bad")


def test_containers_of_another_app_are_not_looked_at() -> None:
    stranger = became(shown(PLAIN), instance=I2, service="db")
    assert told(PLAIN, stranger) == "pending: service web is missing"


def test_the_next_look_is_when_time_alone_may_have_changed_something() -> None:
    container = shown(PLAIN)
    assert soon_s(PLAIN, Seen([container], runs={container.id: Run(steady_s=3.0)})) == 2.0
    assert soon_s(PLAIN, Seen([container], runs={container.id: Run(steady_s=8.0)})) is None
    assert soon_s(WEB, Seen([shown(WEB, health="starting")], runs={})) is None
    ended = became(container, state="exited")
    assert soon_s(PLAIN, Seen([ended], runs={ended.id: Run(rests_s=30.0)})) == 30.0
