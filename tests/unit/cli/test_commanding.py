"""Asking devices at once: where it goes, how long one stays, how it ends."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cloud.cli.answering import GRACE_S
from tests.unit.cli.cloud import CannedCloud, Shell

FLEET, DEVICE = "POST /v1/fleets/boats/commands", "POST /v1/devices/pump-1/commands"
APP = {"app": "a1", "name": "hello", "namespace": "o/a", "instances": [{"instance": "i1", "fleet": "boats"}]}


def command(state: str = "waiting", *, name: str = "pump-1", **keys: Any) -> dict[str, Any]:
    return {
        "command": f"c-{name}", "device": "d1", "name": name, "verb": "app.restart", "app": "hello", "service": None,
        "state": state, "reason": "", "message": "", "by": "ann", "created_ms": 1_000, "until_ms": 61_000,
    } | keys  # fmt: skip


def answer(*commands: dict[str, Any]) -> tuple[int, Any]:
    return 200, {"request": "r1", "commands": list(commands)}


def canned(path: str, *later: tuple[int, Any] | Exception) -> CannedCloud:
    return CannedCloud(
        {
            path: [answer(command())],
            "GET /v1/apps/hello": [(200, APP)],
            "GET /v1/commands": list(later) or [answer(command("done", message="2 containers were restarted"))],
        }
    )


def test_an_app_is_restarted_on_the_one_fleet_that_runs_it(
    logged_in: Shell, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud = canned(FLEET)
    assert logged_in.run("app", "restart", "hello", cloud=cloud) == 0
    assert (FLEET, {"verb": "app.restart", "app": "hello", "service": None, "wait_for_s": 60}) in cloud.asked
    assert ("GET /v1/commands", {"request": "r1", "limit": "10000"}) in cloud.asked
    shown = capsys.readouterr()
    assert shown.out == "pump-1  done: 2 containers were restarted\n"
    assert shown.err == "", "what is answered at once needs no sign of life"


@pytest.mark.parametrize(
    ("line", "path", "body"),
    [
        (
            "app stop hello --device pump-1 --service web",
            DEVICE,
            {"verb": "app.stop", "app": "hello", "service": "web"},
        ),
        ("app start hello --fleet boats", FLEET, {"verb": "app.start", "app": "hello", "service": None}),
        ("app unlock hello --fleet boats", FLEET, {"verb": "app.unlock", "app": "hello", "service": None}),
        ("device unlock pump-1 hello", DEVICE, {"verb": "app.unlock", "app": "hello", "service": None}),
        ("device resync pump-1", DEVICE, {"verb": "device.resync", "app": None, "service": None}),
        ("device prune pump-1", DEVICE, {"verb": "device.prune", "app": None, "service": None}),
    ],
)
def test_each_command_asks_for_its_verb(logged_in: Shell, line: str, path: str, body: dict[str, Any]) -> None:
    cloud = canned(path)
    assert logged_in.run(*line.split(), "--wait-for", "2h", cloud=cloud) == 0
    assert cloud.asked[0] == (path, body | {"wait_for_s": 7200})


@pytest.mark.parametrize(
    ("instances", "error"),
    [
        ([], "skerry: hello is deployed nowhere (deploy it first: skerry deploy hello)\n"),
        (
            [{"instance": "i1", "fleet": "boats"}, {"instance": "i2", "fleet": "quays"}],
            "skerry: hello runs in the fleets boats, quays (say where: --fleet or --device)\n",
        ),
    ],
)
def test_an_app_that_runs_nowhere_or_in_many_places_asks_where(
    logged_in: Shell, capsys: pytest.CaptureFixture[str], instances: list[Any], error: str
) -> None:
    cloud = CannedCloud({"GET /v1/apps/hello": [(200, APP | {"instances": instances})]})
    assert logged_in.run("app", "restart", "hello", cloud=cloud) == 1
    assert capsys.readouterr().err == error


def test_two_places_or_no_time_are_refused_before_anything_is_asked(
    logged_in: Shell, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud = CannedCloud({})
    assert logged_in.run("app", "restart", "hello", "--device", "d", "--fleet", "f", cloud=cloud) == 1
    assert logged_in.run("device", "resync", "d", "--wait-for", "0s", cloud=cloud) == 1
    assert cloud.asked == []
    assert capsys.readouterr().err == (
        "skerry: --device and --fleet name two places (give one of them)\n"
        "skerry: no device answers in no time (write --wait-for 60s)\n"
    )


def test_without_waiting_the_ids_are_the_result(logged_in: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    cloud = canned(DEVICE)
    assert logged_in.run("device", "resync", "pump-1", "--no-wait", cloud=cloud) == 0
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("c-pump-1\n", "1 command sent; see: skerry command list\n")
    assert len(cloud.asked) == 1


def test_a_device_that_is_away_is_named_after_two_seconds_and_each_change_once(
    logged_in: Shell, capsys: pytest.CaptureFixture[str]
) -> None:
    going = [answer(command())] * 6 + [answer(command("sent"))] * 3
    cloud = canned(DEVICE, *going, answer(command("done", message="looking again")))
    assert logged_in.run("device", "resync", "pump-1", cloud=cloud) == 0
    shown = capsys.readouterr()
    assert shown.err == "pump-1  waits for the device\npump-1  sent, not answered yet\n"
    assert shown.out == "pump-1  done: looking again\n"


@pytest.mark.parametrize(
    ("last", "line"),
    [
        (command("failed", reason="failed", message="there is no such app here"), "failed: there is no such app here"),
        (command("expired", reason="unreached", message="the device was not reached in time"),
         "expired: the device was not reached in time"),
        (command("failed", reason="interrupted"), "failed: interrupted"),
    ],
)  # fmt: skip
def test_what_was_not_done_is_told_with_exit_code_4(
    logged_in: Shell, capsys: pytest.CaptureFixture[str], last: dict[str, Any], line: str
) -> None:
    good = command("done", name="pump-2")
    assert logged_in.run("app", "restart", "hello", cloud=canned(FLEET, answer(last, good))) == 4
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == f"skerry: pump-1  {line}\nskerry: pump-2  done\n"


def test_what_was_sent_and_is_never_answered_ends_with_exit_code_5(logged_in: Shell) -> None:
    began = logged_in.clock.monotonic()
    assert logged_in.run("device", "resync", "pump-1", cloud=canned(DEVICE, answer(command("sent")))) == 5
    assert logged_in.clock.monotonic() - began > 60 + GRACE_S


def test_a_dropped_link_to_the_cloud_is_waited_through(logged_in: Shell) -> None:
    gone = (503, {"error": {"reason": "unavailable", "message": "busy"}})
    assert logged_in.run("device", "resync", "pump-1", cloud=canned(DEVICE, gone, gone, answer(command("done")))) == 0


def test_ctrl_c_ends_the_waiting_and_says_that_the_command_goes_on(
    logged_in: Shell, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(logged_in.clock, "pause", interrupt)
    assert logged_in.run("device", "resync", "pump-1", cloud=canned(DEVICE)) == 130
    assert "what was asked for stays asked for" in capsys.readouterr().err


def test_as_json_the_end_of_all_commands_is_one_document(logged_in: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    cloud = canned(DEVICE, answer(command()), answer(command("failed", reason="failed")))
    assert logged_in.run("device", "resync", "pump-1", "--json", cloud=cloud) == 4
    shown = capsys.readouterr()
    assert [one["state"] for one in json.loads(shown.out)["commands"]] == ["failed"]
    assert shown.err == ""


def test_commands_are_listed_and_shown(logged_in: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    one = command("done", message="so\x1b[2Jit was", service="web", tries=2, sent_ms=995_000, finished_ms=999_000)
    cloud = CannedCloud({"GET /v1/commands": [answer(one)], "GET /v1/commands/c-pump-1": [(200, one)]})
    assert logged_in.run("command", "list", "--device", "pump-1", cloud=cloud) == 0
    listed = capsys.readouterr().out
    assert "app.restart hello/web" in listed
    assert "\x1b" not in listed
    assert cloud.asked[0] == ("GET /v1/commands", {"device": "pump-1", "limit": "20"})
    assert logged_in.run("command", "show", "c-pump-1", cloud=cloud) == 0
    shown = capsys.readouterr().out
    assert "sent        2 times, the last one 5 s ago" in shown
    assert "state       done: so?[2Jit was" in shown


def test_an_empty_fleet_is_told(logged_in: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    cloud = CannedCloud({FLEET: [(201, {"request": None, "commands": []})]})
    assert logged_in.run("app", "stop", "hello", "--fleet", "boats", cloud=cloud) == 0
    assert capsys.readouterr().err == "no device is there\n"
