"""What is shown of containers on an engine that leaves their ends undecided for a moment."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, cast

from device.engine.connection import Connection
from device.engine.minder import DECIDE_S, Minder
from device.engine.port import Container
from tests.unit.device.fakes import FakeClock


class FakePodman:
    """Answers inspections, as Podman does."""

    def __init__(self) -> None:
        self.state: dict[str, Any] = {}

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        yield

    def client(self) -> FakePodman:
        return self

    def inspect_container(self, key: str) -> dict[str, Any]:
        return {"State": self.state, "Name": key, "Config": {}, "HostConfig": {}, "RestartCount": 0}


STARTED = {"StartedAt": "2026-01-01T00:00:00Z", "FinishedAt": "2999-01-01T00:00:00Z"}


def shown(minder: Minder, state: Any) -> tuple[str, int | None]:
    listed = Container(id="c1", name="web", instance="i", service="web", hash="h", state=state)
    (container,) = minder.overlay((listed,))
    return container.state, container.exit_code


def test_an_end_is_undecided_for_a_while_and_over_when_podman_makes_nothing_of_it() -> None:
    podman, clock, news = FakePodman(), FakeClock(), list[str]()
    podman.state = {**STARTED, "Status": "stopped", "ExitCode": 4}
    minder = Minder(
        cast(Connection, podman), changed=lambda: news.append("look"), monotonic=clock.monotonic, has_timers=False
    )
    assert shown(minder, "restarting") == ("restarting", 4)
    assert 0 < minder._round() <= DECIDE_S
    clock.sleep(DECIDE_S)
    minder._round()
    assert (shown(minder, "restarting"), news) == (("exited", 4), ["look"])
    minder._round()
    assert news == ["look"]  # told once


def test_what_ran_when_the_machine_went_down_is_shown_as_ended_until_it_is_started_again() -> None:
    podman, clock = FakePodman(), FakeClock()
    podman.state = {**STARTED, "Status": "created", "FinishedAt": "0001-01-01T00:00:00Z", "ExitCode": 0}
    minder = Minder(cast(Connection, podman), changed=lambda: None, monotonic=clock.monotonic, has_timers=False)
    assert shown(minder, "created") == ("exited", 255)
    podman.state = {**STARTED, "Status": "running", "Running": True}
    minder.release("c1")
    assert shown(minder, "running") == ("running", None)
