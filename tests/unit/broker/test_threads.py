"""A supervised thread: restarted when it fails, given up when that does not help. No backoff here, so no waiting."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator

import pytest

from broker.backoff import Backoff
from broker.threads import CALM_S, RESTARTS_MAX, SupervisedThread

AT_ONCE = Backoff(first_s=0.0, max_s=0.0)


def supervised(
    body: Callable[[threading.Event], None], *, gave_up: Callable[[str], None], times: Iterator[float] | None = None
) -> SupervisedThread:
    clock = times if times is not None else itertools.repeat(0.0)
    return SupervisedThread("part", body, gave_up=gave_up, backoff=AT_ONCE, monotonic=lambda: next(clock))


def nobody(name: str) -> None:
    pytest.fail(f"{name} gave up")


def test_a_body_that_fails_is_started_again_until_it_ends_by_itself() -> None:
    runs: list[int] = []

    def body(stopping: threading.Event) -> None:
        runs.append(len(runs))
        if len(runs) < 4:
            raise ValueError("broken")

    thread = supervised(body, gave_up=nobody)
    thread.start()
    assert thread.join(5.0)
    assert runs == [0, 1, 2, 3]


def test_a_body_that_fails_again_and_again_is_given_up_by_name() -> None:
    runs: list[int] = []
    given_up: list[str] = []

    def body(stopping: threading.Event) -> None:
        runs.append(1)
        raise ValueError("broken")

    thread = supervised(body, gave_up=given_up.append)
    thread.start()
    assert thread.join(5.0)
    assert given_up == ["part"]
    assert len(runs) == RESTARTS_MAX + 1


def test_a_calm_minute_between_failures_forgives_the_earlier_ones() -> None:
    runs: list[int] = []

    def body(stopping: threading.Event) -> None:
        runs.append(1)
        if len(runs) == 3 * RESTARTS_MAX:
            stopping.set()
        raise ValueError("broken")

    thread = supervised(body, gave_up=nobody, times=itertools.count(0.0, CALM_S + 1))
    thread.start()
    assert thread.join(5.0)
    assert len(runs) == 3 * RESTARTS_MAX


def test_the_failure_is_in_the_log_with_its_place(caplog: pytest.LogCaptureFixture) -> None:
    def body(stopping: threading.Event) -> None:
        stopping.set()
        raise ValueError("a certain fault")

    thread = supervised(body, gave_up=nobody)
    thread.start()
    assert thread.join(5.0)
    assert "thread part failed" in caplog.text
    assert "a certain fault" in caplog.text


def test_a_thread_that_is_stopped_ends_and_is_not_started_again() -> None:
    began = threading.Event()

    def body(stopping: threading.Event) -> None:
        began.set()
        stopping.wait(5.0)
        raise ValueError("in a hurry")

    thread = supervised(body, gave_up=nobody)
    thread.start()
    assert began.wait(5.0)
    assert thread.alive
    thread.stop()
    assert thread.join(5.0)
    assert not thread.alive


def test_a_thread_stopped_before_it_starts_does_nothing() -> None:
    thread = supervised(lambda stopping: pytest.fail("ran"), gave_up=nobody)
    thread.stop()
    thread.start()
    assert thread.join(5.0)
