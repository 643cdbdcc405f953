"""What is an event between two reported states, and what is none."""

from __future__ import annotations

from dataclasses import replace

from broker.messages import Condition, Generation, InstanceStatus, ServiceStatus
from device.happenings import between
from device.reporter import Content

DIGEST = "sha256:" + "a" * 64
WEB = ServiceStatus(name="web", state="running", health="healthy", container="c" * 64)
APP = InstanceStatus(
    instance="iaaaaaaaaaaa", name="hello", release=DIGEST, section=DIGEST, state="converged", services=(WEB,)
)
NOTHING = Content()


def app(**changes: object) -> Content:
    return Content(instances=(APP.model_copy(update=changes),))


def test_the_same_twice_is_no_event() -> None:
    content = Content(Generation(era=1, generation=2, digest=DIGEST), {"Engine": Condition(type="Engine", status=True)})
    assert between(content, content) == []
    assert between(app(), app()) == []


def test_an_accepted_generation_is_one() -> None:
    new = Content(accepted=Generation(era=1, generation=2, digest=DIGEST))
    assert between(NOTHING, new) == [{"event": "accepted", "generation": "1.2"}]


def test_a_condition_is_one_when_it_turns_or_has_another_reason_and_not_for_other_words() -> None:
    bad = Condition(type="Engine", status=False, reason="away", message="no answer")
    first, other = Content(conditions={"Engine": bad}), bad.model_copy(update={"message": "still none"})
    told = {"event": "condition", "type": "Engine", "status": "false", "reason": "away", "message": "no answer"}
    assert between(NOTHING, first) == [told]
    assert between(first, Content(conditions={"Engine": other})) == []
    well = Content(conditions={"Engine": Condition(type="Engine", status=True)})
    assert between(NOTHING, well) == [], "that all is well from the start is no news"
    assert [event["status"] for event in between(first, well)] == ["true"]


def test_an_app_that_comes_changes_and_goes() -> None:
    came = between(NOTHING, app())
    assert [(e["event"], e.get("state")) for e in came] == [("app", "converged"), ("service", "running")]
    assert [e["state"] for e in between(app(), app(state="failed", message="x" * 900))] == ["failed"]
    assert between(app(), NOTHING) == [{"event": "app", "app": "hello", "instance": APP.instance, "state": "gone"}]


def test_a_death_is_told_with_its_exit_code_and_a_restart_with_its_count() -> None:
    dead = WEB.model_copy(update={"state": "exited", "health": "none", "exit_code": 137})
    (event,) = between(app(), app(services=(dead,)))
    assert (event["service"], event["state"], event["exit_code"]) == ("web", "exited", "137")
    again = WEB.model_copy(update={"restarts": 1, "exit_code": 137})
    (event,) = between(app(services=(dead,)), app(services=(again,)))
    assert (event["state"], event["restarts"], event["container"]) == ("running", "1", "c" * 12)
    assert "exit_code" not in event


def test_replicas_are_told_apart() -> None:
    second = WEB.model_copy(update={"index": 2})
    dead = second.model_copy(update={"state": "exited", "exit_code": 1})
    (event,) = between(app(services=(WEB, second)), app(services=(WEB, dead)))
    assert event["index"] == "2"


def test_conditions_of_an_app_name_it() -> None:
    held = Condition(type="Waiting", status=True, reason="locked")
    (event,) = between(app(), replace(app(), instances=(APP.model_copy(update={"conditions": (held,)}),)))
    assert (event["app"], event["type"], event["reason"]) == ("hello", "Waiting", "locked")
