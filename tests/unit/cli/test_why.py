"""`skerry why`: the sentence that explains most, and the screen under it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cloud.cli.answers import Desired, Device, Line
from cloud.cli.why_text import Seen, because, why_lines
from tests.unit.cli.cloud import CannedCloud, Shell

NOW_MS = 10_000_000
GOOD, NEXT = "sha256:" + "a" * 64, "sha256:" + "b" * 64
SECTION, NEXT_SECTION = "sha256:" + "c" * 64, "sha256:" + "d" * 64


def service(name: str = "web", state: str = "running", **keys: Any) -> dict[str, Any]:
    return {"name": name, "state": state, "health": "none"} | keys


def instance(state: str = "converged", **keys: Any) -> dict[str, Any]:
    return {
        "instance": "i1", "name": "hello", "release": GOOD, "section": SECTION, "state": state, "services": [service()],
    } | keys  # fmt: skip


def device(*apps: dict[str, Any], accepted: int = 14, conditions: Any = (), **keys: Any) -> dict[str, Any]:
    return {
        "device": "d1", "name": "pump-1", "fleet": "boats", "online": True, "last_seen_ms": NOW_MS - 40_000,
        "accepted": {"era": 1, "generation": accepted}, "status_at_ms": NOW_MS - 300_000,
        "status": {"instances": apps, "conditions": conditions, "accepted": {"era": 1, "generation": accepted}},
    } | keys  # fmt: skip


def wanted(release: str = GOOD, section: str = SECTION, **keys: Any) -> dict[str, Any]:
    app = {"instance": "i1", "name": "hello", "release": release, "section": section, "services": ["web"]} | keys
    return {"era": 1, "generation": 14, "issued_ms": NOW_MS - 400_000, "sent_ms": NOW_MS - 390_000, "apps": [app]}


def seen(
    shown: dict[str, Any], desired: dict[str, Any] | None = None, *, app: str | None = None, one: str | None = None
) -> Seen:
    asked = Desired.model_validate(wanted() if desired is None else desired)
    return Seen(Device.model_validate(shown), asked, (), (), app, one)


def holding(name: str, message: str = "", reason: str = "") -> dict[str, Any]:
    return {"type": name, "status": True, "reason": reason, "message": message}


@pytest.mark.parametrize(
    ("shown", "sentence"),
    [
        (device(instance()), "it is as it should be"),
        (device(instance(), contested=True),
         "two machines have this device's identity: it gets nothing new until one is enrolled anew"),
        (device(last_seen_ms=None, status=None, accepted=0), "the device has never connected"),
        (device(instance(), online=False), "it is as it should be; the device is away, last heard 40 s ago"),
        (device(instance(), accepted=13, online=False, last_seen_ms=NOW_MS - 7_200_000),
         "the device has not accepted generation 1.14 yet; the device is away, last heard 2 h ago"),
        (device(instance(), accepted=13, conditions=[holding("Refused.desired", "too many apps", "too_large")]),
         "the device has not accepted generation 1.14 yet: it refuses it (too_large: too many apps)"),
        (device(instance("updating", conditions=[holding("Healthy"), holding("Waiting", "the crane turns", "lock")])),
         "hello is updating, Waiting: lock: the crane turns"),
        (device(instance("failed", message="service web is exited with code 3")),
         "hello is failed: service web is exited with code 3"),
        (device(instance(services=[service(), service("db", "restarting", restarts=4, exit_code=1)])),
         "service db is restarting, exit code 1, restarted 4 times"),
    ],
)  # fmt: skip
def test_the_sentence_that_explains_most_comes_first(shown: dict[str, Any], sentence: str) -> None:
    assert because(seen(shown), NOW_MS) == sentence


def test_an_app_that_is_not_there_says_whether_it_should_be() -> None:
    assert because(seen(device(), app="hello"), NOW_MS) == "the device has not said anything of hello yet"
    assert because(seen(device(), wanted(name="other"), app="hello"), NOW_MS) == (
        "hello is not among what this device should run"
    )


def test_the_screen_shows_what_should_be_and_what_is() -> None:
    app = instance(
        "updating",
        conditions=[holding("Waiting", "the crane turns", "lock"), {"type": "Healthy", "status": False}],
        plan=["pull web@2: not here", "stop web c1: replaced"],
        services=[service(health="healthy", started_at_ms=NOW_MS - 3 * 86_400_000)],
    )
    found = seen(device(app), wanted(NEXT, NEXT_SECTION, attempt=2, settings={"force": True}))
    assert "\n".join(why_lines(found, NOW_MS)).partition("\n\n")[2] == (
        "device      pump-1 (d1), fleet boats\n"
        "link        online, last heard 40 s ago\n"
        "desired     1.14, made 6 m ago, sent 6 m ago\n"
        "accepted    1.14\n"
        "reported    of 1.14, 5 m ago\n"
        "\n"
        "hello       updating\n"
        "  release   runs sha256:aaaaaaaaaaaa, should run sha256:bbbbbbbbbbbb\n"
        "  section   sha256:cccccccccccc, should be sha256:dddddddddddd, attempt 2, in spite of its lock\n"
        "  condition Waiting yes lock: the crane turns\n"
        "  plan      pull web@2: not here\n"
        "  plan      stop web c1: replaced\n"
        "  web       running, healthy, since 3 d"
    )


def test_a_service_that_is_not_well_shows_its_last_lines_and_one_that_is_well_does_not() -> None:
    app = instance("failed", services=[service("db", "exited", exit_code=3, reason="ended"), service()])
    lines = [Line(device="d1", app="hello", service=name, text=f"{name} says") for name in ("db", "web")]
    found = Seen(Device.model_validate(device(app)), None, (), lines)
    text = "\n".join(why_lines(found, NOW_MS))
    assert "  db        exited, exit code 3: ended\n    | -  db says\n" in text
    assert "web says" not in text
    named = Seen(found.device, None, (), lines, "hello", "web")
    assert "web says" in "\n".join(why_lines(named, NOW_MS))


def test_a_long_plan_is_cut() -> None:
    text = "\n".join(why_lines(seen(device(instance("updating", plan=[f"step {n}" for n in range(30)]))), NOW_MS))
    assert "and 22 more" in text


def cloud(**answers: Any) -> CannedCloud:
    app = instance("failed", services=[service("db", "exited", exit_code=3), service()])
    line = {"device": "d1", "app": "hello", "service": "db", "text": "no\x1b[2J disk"}
    return CannedCloud(
        {
            "GET /v1/devices/pump-1": [(200, device(app))],
            "GET /v1/devices/pump-1/desired": [(200, wanted())],
            "GET /v1/devices/pump-1/commands": [(200, {"commands": []})],
            "GET /v1/logs": [(200, {"lines": [line], "next": None})],
        }
        | answers
    )


def test_the_lines_of_what_is_not_well_are_asked_for(logged_in: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    asked = cloud()
    assert logged_in.run("why", "pump-1", "hello", cloud=asked) == 0
    assert [query for path, query in asked.asked if path == "GET /v1/logs"] == [
        {"device": "d1", "app": "hello", "service": "db", "newest": "true", "limit": "10"}
    ]
    shown = capsys.readouterr().out
    assert "no?[2J disk" in shown


def test_as_json_it_is_one_document(logged_in: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    assert logged_in.run("why", "pump-1", "hello", "web", "--json", cloud=cloud()) == 0
    document = json.loads(capsys.readouterr().out)
    assert set(document) == {"because", "device", "desired", "commands", "lines"}


def test_what_is_not_there_is_refused_with_a_hint(logged_in: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    assert logged_in.run("why", "pump-1", "nothing", cloud=cloud()) == 1
    assert logged_in.run("why", "pump-1", "hello", "nothing", cloud=cloud()) == 1
    assert capsys.readouterr().err == (
        "skerry: pump-1 has no app 'nothing' (see: skerry why pump-1)\n"
        "skerry: hello has no service 'nothing' on pump-1 (see: skerry why pump-1 hello)\n"
    )


def test_a_device_that_nothing_was_deployed_to_is_no_error(
    logged_in: Shell, capsys: pytest.CaptureFixture[str]
) -> None:
    none = (404, {"error": {"reason": "not_found", "message": "nothing was ever deployed"}})
    asked = cloud(**{"GET /v1/devices/pump-1/desired": [none], "GET /v1/devices/pump-1": [(200, device())]})
    assert logged_in.run("why", "pump-1", cloud=asked) == 0
    assert capsys.readouterr().out.startswith("nothing was ever deployed to it")
