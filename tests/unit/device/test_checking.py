"""Health from probes, by Docker's rules."""

from __future__ import annotations

from broker.appspec import Healthcheck
from device.engine.checking import Checking, begin, probed, told

CHECK = Healthcheck(test=("CMD", "x"), interval_ms=10_000, timeout_ms=1000, retries=2)
GENTLE = CHECK.model_copy(update={"start_period_ms": 30_000, "start_interval_ms": 1000})


def after(check: Healthcheck, *ends: bool, every_s: float = 10.0) -> Checking:
    """Return what is known of a container that started at 0, after probes that end so."""
    now, checking = 0.0, begin(check, began_at=0.0, now=0.0)
    for ok in ends:
        now += every_s
        checking = probed(check, checking, ok=ok, now=now)
    return checking


def test_the_first_probe_is_due_an_interval_after_the_start() -> None:
    assert begin(CHECK, began_at=100.0, now=100.0) == Checking(began_at=100.0, due_at=110.0)


def test_a_container_that_runs_for_long_is_probed_at_once() -> None:
    assert begin(CHECK, began_at=-500.0, now=100.0).due_at == 100.0


def test_one_good_probe_makes_it_healthy() -> None:
    assert after(CHECK, True) == Checking(began_at=0.0, due_at=20.0, health="healthy")


def test_it_is_unhealthy_after_its_retries_in_a_row() -> None:
    assert after(CHECK, True, False).health == "healthy"
    assert after(CHECK, True, False, False).health == "unhealthy"
    assert after(CHECK, True, False, True, False).health == "healthy"
    assert after(CHECK, False, False, True).health == "healthy"


def test_failures_while_it_may_still_be_starting_do_not_count() -> None:
    assert after(GENTLE, False, False).health == "starting"
    assert after(GENTLE, False, False, False, False).health == "unhealthy"


def test_once_healthy_failures_count_in_the_start_period_as_well() -> None:
    assert after(GENTLE, True, False, False, every_s=1.0).health == "unhealthy"


def test_while_it_starts_it_is_probed_by_the_start_interval() -> None:
    assert begin(GENTLE, began_at=0.0, now=0.0).due_at == 1.0
    assert after(GENTLE, False, every_s=1.0).due_at == 2.0
    assert after(GENTLE, True, every_s=1.0).due_at == 11.0
    assert after(GENTLE, False, False, False, False).due_at == 50.0


def test_a_check_without_retries_fails_at_once() -> None:
    assert after(CHECK.model_copy(update={"retries": 0}), False).health == "unhealthy"


def test_what_the_engine_knows_by_itself_is_taken() -> None:
    assert told(CHECK, after(CHECK), "unhealthy", now=12.0) == Checking(began_at=0.0, due_at=22.0, health="unhealthy")
