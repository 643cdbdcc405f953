"""Watching a deployment: polls, link drops, time."""

from __future__ import annotations

import httpx
import pytest

from broker.errors import Passing
from cloud.cli.client import Client
from cloud.cli.wait import Waited, wait
from tests.unit.cli.cloud import Answer, CannedCloud, ManualClock

PATH = "GET /v1/deployments/x1"


def seen(state: str, online: bool = True) -> Answer:
    return 200, {"deployment": "x1", "devices": [{"device": "d1", "name": "pump", "state": state, "online": online}]}


def watched(*answers: Answer | Exception, timeout_s: float = 30) -> tuple[Waited, list[str], float]:
    clock = ManualClock()
    started_s, told = clock.now_s, list[str]()
    client = Client("https://cloud:1", transport=httpx.MockTransport(CannedCloud({PATH: list(answers)})))
    waited = wait(client, "x1", timeout_s=timeout_s, clock=clock, pause=clock.pause, tell=told.append)
    return waited, told, clock.now_s - started_s


def test_each_change_is_told_once() -> None:
    waited, told, _ = watched(seen("pending"), seen("pending"), seen("updating"), seen("converged"))
    assert told == ["pump  pending", "pump  updating", "pump  converged"]
    assert (waited.verdict.outcome, waited.timed_out) == ("converged", False)


def test_a_dropped_link_is_waited_through() -> None:
    waited, told, _ = watched(httpx.ConnectError("x"), seen("pending"), (503, ""), seen("converged"))
    assert told == ["pump  pending", "pump  converged"]
    assert waited.verdict.outcome == "converged"


def test_it_ends_when_time_is_up() -> None:
    waited, told, took_s = watched(seen("pending", online=False), timeout_s=12)
    assert waited.timed_out
    assert told == ["pump  pending (not reachable)"]
    assert took_s == pytest.approx(12)


def test_time_up_while_the_cloud_is_away_ends_with_what_was_seen_last() -> None:
    waited, _, took_s = watched(seen("updating"), httpx.ConnectError("x"), timeout_s=12)
    assert waited.timed_out
    assert took_s == pytest.approx(12)


def test_a_cloud_that_never_answers_is_passing() -> None:
    with pytest.raises(Passing):
        watched(httpx.ConnectError("x"), timeout_s=12)


def test_no_time_at_all_still_looks_once() -> None:
    assert watched(seen("converged"), timeout_s=0)[0].verdict.outcome == "converged"
