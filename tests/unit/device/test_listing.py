"""What is read out of an engine's answers and events."""

from __future__ import annotations

from typing import Any

import pytest

from device.engine.listing import container, cut_off, death, details


def event(action: str = "die", kind: str = "container", **attributes: str) -> dict[str, Any]:
    return {"Type": kind, "Action": action, "Actor": {"ID": "c0ffee", "Attributes": attributes}}


@pytest.mark.parametrize("action", ["die", "died"])
def test_a_death_is_told_with_its_exit_code(action: str) -> None:
    assert death(event(action, exitCode="137")) == ("c0ffee", 137)


def test_a_death_without_a_code_is_one_too() -> None:
    assert death(event()) == ("c0ffee", None)
    assert death(event(exitCode="none")) == ("c0ffee", None)


@pytest.mark.parametrize("other", [event("start"), event("kill"), event("die", "network"), {}])
def test_other_events_are_no_deaths(other: dict[str, Any]) -> None:
    assert death(other) is None


def test_an_inspection_tells_the_state_that_it_has_seen() -> None:
    state = {"Status": "restarting", "StartedAt": "2026-01-01T00:00:00Z", "ExitCode": 137, "OOMKilled": False}
    told = details({"State": state, "RestartCount": 2})
    assert (told.state, told.restarts, told.exit_code) == ("restarting", 2, 137)


@pytest.mark.parametrize(
    ("settings", "networks"),
    [
        ({"NetworkSettings": {"Networks": {"front": {}, "back": None}}}, {"front", "back"}),
        ({"NetworkSettings": {"Networks": None}}, set()),  # so says Podman of one that is on none
        ({"NetworkSettings": {}}, None),
        ({}, None),
    ],
)
def test_a_list_tells_which_networks_a_container_is_on(settings: dict[str, Any], networks: set[str] | None) -> None:
    assert container({"Id": "c0ffee", "State": "running"} | settings).networks == networks


def test_a_container_that_is_being_removed_is_neither_to_be_started_nor_gone() -> None:
    # It was listed as ended, so it was started, which is refused: the one in its place came seconds later.
    assert container({"Id": "c0ffee", "State": "removing"}).state == "restarting"
    assert container({"Id": "c0ffee", "State": "dead"}).state == "exited"


NEVER, EARLIER, LATER = "0001-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "2026-01-01T00:00:05.5Z"


@pytest.mark.parametrize(
    ("status", "started", "ended", "expected"),
    [
        ("created", NEVER, NEVER, False),  # made, and not started yet
        ("created", EARLIER, NEVER, True),
        ("created", LATER, EARLIER, True),  # it had ended before, and ran again
        ("created", EARLIER, LATER, False),  # it had ended
        ("exited", EARLIER, NEVER, True),
        ("exited", EARLIER, LATER, False),
        ("exited", LATER, EARLIER, False),  # an end is noted a moment before a start that is as short
        ("running", EARLIER, NEVER, False),
        ("stopping", EARLIER, NEVER, False),
    ],
)
def test_what_podman_shows_of_a_container_tells_whether_a_reboot_ended_it(
    status: str, started: str, ended: str, expected: bool
) -> None:
    assert cut_off({"State": {"Status": status, "StartedAt": started, "FinishedAt": ended}}) is expected
