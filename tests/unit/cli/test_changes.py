"""The event stream as an operator reads it."""

from __future__ import annotations

import json
from typing import Any

from cloud.cli.changes import Follower
from cloud.cli.event_stream import Event


def device(number: int = 0, **fields: Any) -> Event:
    plain = {"device": "d1", "name": "pump", "online": True, "desired": generation(1), "accepted": generation(1)}
    return Event("device", json.dumps(plain | fields), str(number) if number else "")


def generation(number: int) -> dict[str, Any]:
    return {"era": 1, "generation": number, "digest": "sha256:x"}


def status(state: str, *, message: str = "", health: str = "healthy") -> dict[str, Any]:
    service = {"name": "web", "state": "running", "health": health}
    instance = {"instance": "i1", "name": "hello", "release": "sha256:" + "a" * 64, "state": state}
    return {"instances": [instance | {"message": message, "services": [service]}]}


def texts(follower: Follower, event: Event) -> list[str]:
    return [f"{name}: {text}" for name, text in follower.take(event)]


def told(*events: Event, only: str = "") -> list[str]:
    """Return what the last event tells, after those before it."""
    follower = Follower(only)
    for event in events[:-1]:
        follower.take(event)
    return texts(follower, events[-1])


def test_a_device_is_told_whole_the_first_time() -> None:
    assert told(device(status=status("converged"))) == ["pump: online, generation 1.1, hello converged"]


def test_the_same_again_is_nothing() -> None:
    assert told(device(), device(last_seen_ms=9)) == []


def test_going_and_coming_are_told() -> None:
    assert told(device(), device(online=False)) == ["pump: offline"]
    assert told(device(online=False), device()) == ["pump: online"]


def test_generations_are_told_as_they_move() -> None:
    assert told(device(), device(desired=generation(2))) == ["pump: desired generation 1.2"]
    assert told(device(desired=generation(2)), device(desired=generation(2), accepted=generation(2))) == [
        "pump: accepted generation 1.2"
    ]


def test_an_app_that_changes_is_told_with_its_message() -> None:
    before, after = device(status=status("converged")), device(status=status("failed", message="web exits with 3"))
    assert told(before, after) == ["pump: hello failed sha256:aaaaaaaaaaaa: web exits with 3"]


def test_a_service_is_told_when_its_app_stays_as_it_is() -> None:
    before, after = device(status=status("converged")), device(status=status("converged", health="unhealthy"))
    assert told(before, after) == ["pump: hello/web running, unhealthy"]


def test_the_phase_of_an_update_and_restarts_are_told() -> None:
    def at(*phases: str, restarts: int = 0) -> Event:
        shown = status("updating")
        shown["instances"][0]["conditions"] = [{"type": one, "status": True, "message": "so"} for one in phases]
        shown["instances"][0]["services"][0]["restarts"] = restarts
        return device(status=shown)

    assert told(at("Fetching"), at("Waiting", "Healthy")) == ["pump: hello Waiting so"]
    assert told(at("Waiting"), at("Waiting")) == []
    assert told(at(restarts=1), at(restarts=3)) == ["pump: hello/web was restarted by its engine, 3 times by now"]


def test_a_command_is_told_with_what_became_of_it() -> None:
    command = {"device": "d1", "verb": "app.restart", "app": "hello", "service": None, "state": "done", "message": "ok"}
    assert told(device(), Event("command", json.dumps(command))) == ["pump: app.restart hello done: ok"]
    resync = {"device": "d1", "verb": "device.resync", "app": None, "state": "waiting", "message": ""}
    assert told(device(), Event("command", json.dumps(resync))) == ["pump: device.resync waiting"]


def test_an_app_that_is_gone_is_told() -> None:
    assert told(device(status=status("converged")), device(status={"instances": []})) == ["pump: hello is gone"]


def test_a_condition_that_turns_is_told() -> None:
    good = {"type": "EngineAnswers", "status": True}
    bad = {"type": "EngineAnswers", "status": False, "reason": "timeout", "message": "no answer"}
    assert told(device(status={"conditions": [good]}), device(status={"conditions": [bad]})) == [
        "pump: EngineAnswers no timeout: no answer"
    ]


def test_an_event_from_before_the_snapshot_is_not_told_as_news() -> None:
    snapshot, missed = device(20, desired=generation(5)), device(19, desired=generation(4))
    assert told(snapshot, missed) == []
    assert told(snapshot, missed, device(21, desired=generation(6))) == ["pump: desired generation 1.6"]


def test_telemetry_progress_and_deployments_have_a_line_each() -> None:
    telemetry = {"device": "d1", "stream": "telemetry:hello", "epoch": 1, "first": 3, "last": 9}
    assert told(device(), Event("telemetry", json.dumps(telemetry | {"gaps": []}))) == [
        "pump: telemetry telemetry:hello 3-9"
    ]
    assert told(device(), Event("telemetry", json.dumps(telemetry | {"gaps": [{"first": 1, "last": 2}]}))) == [
        "pump: telemetry telemetry:hello 3-9, 1 gap"
    ]
    assert told(device(), Event("progress", json.dumps({"device": "d1", "phase": "fetch", "done": 1, "total": 4}))) == [
        "pump: fetch 25%"
    ]
    deployment = {"deployment": "x", "app": "hello", "fleet": "boats", "release": "sha256:" + "b" * 64}
    assert told(Event("deployment", json.dumps(deployment))) == ["fleet boats: deployment of hello sha256:bbbbbbbbbbbb"]


def test_one_device_can_be_picked_by_name_or_id() -> None:
    other = Event("device", json.dumps({"device": "d2", "name": "crane", "online": True}))
    assert told(device(), other, only="pump") == []
    assert told(other, device(), only="d1") == ["pump: online, generation 1.1"]
    assert Follower("d1").wants(device())
    assert not Follower("d1").wants(other)


def test_what_cannot_be_read_is_left_out() -> None:
    assert (
        told(Event("device", "nonsense")) == told(Event("device", '{"device": []}')) == told(Event("new", "{}")) == []
    )


def test_texts_from_devices_are_harmless() -> None:
    assert told(device(), device(status=status("failed", message="\x1b[2J"))) == [
        "pump: hello failed sha256:aaaaaaaaaaaa: ?[2J"
    ]
