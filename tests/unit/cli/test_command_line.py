"""Whole command lines: exit codes, errors for people and for programs, what is sent."""

from __future__ import annotations

import json
import re
import ssl
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
import typer.main

from broker.tls import ca_hash
from cloud.cli.command_line import command_line
from cloud.cli.plugins import join
from tests.unit.cli.cloud import Answer, CannedCloud, Shell, lines_of

ROOT = Path(__file__).parents[3]
ME = {"user": "ann", "org": "oaaaaaaaaaaa", "org_name": "main", "scopes": ["read"], "registry": "127.0.0.1:5000"}
DEPLOYED = {"deployment": "x1", "instance": "i1", "release": "sha256:" + "a" * 64, "devices": [{"device": "d1"}]}
CA = ssl.DER_cert_to_PEM_cert(b"any bytes will do: only their hash counts")
OTHER_HASH = "sha256:" + "0" * 64


def canned(**answers: Answer | Exception) -> CannedCloud:
    """Return a cloud; keys are like `get_v1_me`."""
    return CannedCloud({_request(key): [answer] for key, answer in answers.items()})


def _request(key: str) -> str:
    method, _, path = key.partition("_")
    return f"{method.upper()} /{path.replace('__', '-').replace('_', '/').replace('-', '_')}"


def deployment(state: str, online: bool = True) -> Answer:
    return 200, {"deployment": "x1", "devices": [{"device": "d1", "name": "pump", "state": state, "online": online}]}


def commands(group: Any, prefix: str = "") -> list[str]:
    found: list[str] = []
    for name, command in group.commands.items():
        path = f"{prefix} {name}".strip()
        found += commands(command, path) if hasattr(command, "commands") else [path]
    return found


ALL = commands(typer.main.get_command(command_line()))


@pytest.mark.parametrize("command", ALL)
def test_every_command_has_json_help_and_documentation(
    command: str, shell: Shell, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shell.run(*command.split(), "--help") == 0
    assert "--json" in capsys.readouterr().out
    assert re.search(rf"^skerry {command}\b", (ROOT / "docs/cli.md").read_text(), re.MULTILINE), "no example"


def test_a_command_without_a_login_says_how_to_log_in(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    assert shell.run("status") == 1
    assert capsys.readouterr().err == ("skerry: there is no login 'default' here (run: skerry login URL --user USER)\n")


def test_errors_are_json_too_where_json_is_asked_for(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    assert shell.run("--login", "test", "status", "--json") == 1
    shown = capsys.readouterr()
    assert json.loads(shown.out) == {
        "error": {
            "reason": "not_logged_in",
            "message": "there is no login 'test' here",
            "hint": "run: skerry --login test login URL --user USER",
        }
    }
    assert shown.err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [["bogus"], ["deploy"], ["status", "--bogus"], ["device", "enroll-token", "--uses", "0"]]
)
def test_a_wrong_command_line_ends_with_2(
    arguments: list[str], shell: Shell, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shell.run(*arguments) == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err.count("\n")) == ("", 1)
    assert shell.run(*arguments, "--json") == 2
    assert json.loads(capsys.readouterr().out)["error"]["reason"] == "usage"


def test_a_group_without_a_command_shows_its_help(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    assert shell.run("device") == 2
    assert "enroll-token" in capsys.readouterr().err


def test_a_cloud_that_does_not_answer_ends_with_3(logged_in: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    cloud = canned(get_v1_me=httpx.ConnectError("connection refused"))
    assert logged_in.run("whoami", cloud=cloud) == 3
    assert capsys.readouterr().err == (
        "skerry: no answer from https://cloud:1 (connection refused) (is it running, and can this machine reach it?)\n"
    )


def test_an_engine_that_does_not_answer_ends_with_3_and_a_reason(
    logged_in: Shell, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "compose.yaml").write_text("services: {web: {image: web}}")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    app = {"app": "a1", "name": "web", "namespace": "o/a"}
    cloud = canned(get_v1_me=(200, ME), post_v1_apps=(200, app))
    assert logged_in.run("app", "push", str(tmp_path), "--name", "web", "--json", cloud=cloud) == 3
    assert json.loads(capsys.readouterr().out)["error"]["reason"] == "engine_unreachable"


def test_ctrl_c_ends_with_130_and_no_traceback(logged_in: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    def cloud(_: httpx.Request) -> httpx.Response:
        raise KeyboardInterrupt

    assert logged_in.run("whoami", cloud=cloud) == 130
    assert capsys.readouterr().err.strip() == ""


def test_requests_carry_the_token(logged_in: Shell) -> None:
    cloud = canned(get_v1_me=(200, ME))
    assert logged_in.run("whoami", cloud=cloud) == 0
    assert cloud.requests[0].headers["authorization"] == "Bearer t0"


@pytest.mark.parametrize(
    ("state", "online", "code"),
    [("converged", True, 0), ("failed", True, 4), ("updating", True, 5), ("pending", False, 5)],
)
def test_a_watched_deployment_ends_with_a_code_of_its_own(
    state: str, online: bool, code: int, logged_in: Shell, capsys: pytest.CaptureFixture[str]
) -> None:
    cloud = canned(post_v1_deployments=(201, DEPLOYED), get_v1_deployments_x1=deployment(state, online))
    assert logged_in.run("deploy", "hello", "--wait", "--timeout", "1m", cloud=cloud) == code
    assert "pump  " + state in capsys.readouterr().out
    assert logged_in.run("deploy", "hello", "--wait", "--timeout", "1m", "--json", cloud=cloud) == code
    shown = json.loads(capsys.readouterr().out)
    assert shown["outcome"] == {0: "converged", 4: "failed", 5: "timed_out"}[code]
    assert shown["devices"][0]["state"] == state


def test_a_deployment_says_what_was_asked_for(logged_in: Shell) -> None:
    cloud = canned(post_v1_deployments=(201, DEPLOYED))
    code = logged_in.run("deploy", "hello", "-r", "2", "-f", "boats", "--set", "A=b=c", "--set", "B=", cloud=cloud)
    assert code == 0
    wanted = {"app": "hello", "release": "2", "fleet": "boats", "variables": {"A": "b=c", "B": ""}, "force": False}
    assert cloud.asked == [("POST /v1/deployments", wanted)]


@pytest.mark.parametrize(
    ("options", "grants"),
    [
        (["--grant", "allow_privileged"], {"allow_privileged": True}),
        (
            ["--grant", "allow_devices=/dev/a", "--grant", "allow_devices=/dev/b=c"],
            {"allow_devices": ["/dev/a", "/dev/b=c"]},
        ),
        (["--no-grants"], {}),
    ],
)
def test_a_deployment_says_what_is_granted(logged_in: Shell, options: list[str], grants: dict[str, object]) -> None:
    cloud = canned(post_v1_deployments=(201, DEPLOYED))
    assert logged_in.run("deploy", "hello", *options, cloud=cloud) == 0
    ((_, body),) = cloud.asked
    assert body["grants"] == grants


def test_a_grant_of_another_form_is_refused_before_anything_is_sent(logged_in: Shell) -> None:
    cloud = canned()
    assert logged_in.run("deploy", "hello", "--grant", "allow_flying", cloud=cloud) == 1
    assert cloud.asked == []


@pytest.mark.parametrize("settings", [["A"], ["=b"], ["A=1", "A=2"]])
def test_a_setting_of_another_form_is_refused_before_anything_is_sent(settings: list[str], logged_in: Shell) -> None:
    cloud = canned()
    arguments = [part for setting in settings for part in ("--set", setting)]
    assert logged_in.run("deploy", "hello", *arguments, cloud=cloud) == 1
    assert cloud.asked == []


def test_the_enrollment_token_alone_is_on_standard_output(logged_in: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    cloud = CannedCloud({"POST /v1/enroll-tokens": [(200, {"token": "skerry1.x", "fleet": "default", "uses": 2})]})
    assert logged_in.run("device", "enroll-token", "--ttl", "2h", "--uses", "2", cloud=cloud) == 0
    assert capsys.readouterr().out == "skerry1.x\n"
    asked = {"fleet": "default", "uses": 2, "ttl_s": 7200, "auto_approve": None, "serials": []}
    assert cloud.asked[0][1] == asked


def test_link_settings_are_sent_as_they_are_meant_and_shown(
    logged_in: Shell, capsys: pytest.CaptureFixture[str]
) -> None:
    link = {"hours": [[22, 6]], "bytes_per_day": 52428800, "mirrors": ["http://10.0.0.9:5080"]}
    answer = {"device": "pump", "link": {"bytes_per_day": 52428800}, "holds": link}
    cloud = CannedCloud({"PATCH /v1/devices/pump/link": [(200, answer)]})
    options = ("--bytes-per-day", "50M", "--hours", "22-6", "--mirror", "none", "--not-metered")
    assert logged_in.run("device", "link", "pump", *options, cloud=cloud) == 0
    assert cloud.asked[0][1] == {"bytes_per_day": 52428800, "hours": [[22, 6]], "mirrors": None, "metered": False}
    assert capsys.readouterr().out == (
        "bytes per day     52428800\n"
        "hours             22-6 UTC  (of its fleet)\n"
        "mirrors           http://10.0.0.9:5080  (of its fleet)\n"
    )


@pytest.mark.parametrize("options", [("--hours", "5"), ("--hours", "3-3"), ("--bytes-per-day", "much")])
def test_link_settings_of_another_form_are_refused_before_anything_is_sent(
    options: tuple[str, str], logged_in: Shell
) -> None:
    cloud = canned()
    assert logged_in.run("fleet", "link", "default", *options, cloud=cloud) == 1
    assert cloud.asked == []


def test_names_are_quoted_in_addresses(logged_in: Shell) -> None:
    cloud = canned()
    assert logged_in.run("device", "show", "a/../b?c", cloud=cloud) == 1
    assert cloud.requests[0].url.raw_path == b"/v1/devices/a%2F..%2Fb%3Fc"


def test_status_is_a_table(logged_in: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    generation = {"era": 1, "generation": 2, "digest": "x"}
    status = {"instances": [{"name": "hello", "state": "failed", "message": "exit 3"}]}
    pump = {"device": "d1", "name": "pump", "fleet": "boats", "online": False, "last_seen_ms": 880_000}
    devices = [pump | {"desired": generation, "accepted": generation | {"generation": 1}, "status": status}]
    cloud = canned(get_v1_devices=(200, {"devices": devices}))
    assert logged_in.run("status", cloud=cloud) == 0
    assert capsys.readouterr().out == (
        "DEVICE  FLEET  LINK          GENERATION  APPS\n"
        "pump    boats  seen 2 m ago  1.1 of 1.2  hello failed (exit 3)\n"
    )


def test_watch_shows_what_happens_until_the_login_is_over(logged_in: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    events = [("device", 1, {"device": "d1", "name": "pump", "online": True})]
    over = (401, {"error": {"reason": "not_logged_in", "message": "expired"}})
    for arguments in ([], ["--json"]):
        cloud = CannedCloud({"GET /v1/events": [(200, "".join(lines_of(events))), over]})
        assert logged_in.run("watch", *arguments, cloud=cloud) == 1
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first.endswith("pump              online, generation -")
    assert json.loads(second) == {"id": "1", "event": "device", "data": events[0][2]}


class TestLogin:
    """Logging in: the authority first, then the password."""

    ANSWER = {"token": "t1", "org": "oaaaaaaaaaaa", "org_name": "main", "user": "ann", "expires_ms": 1}

    def cloud(self) -> CannedCloud:
        return canned(get_v1_ca=(200, CA), post_v1_login=(200, self.ANSWER))

    def test_without_a_confirmed_authority_the_password_is_not_sent(
        self, shell: Shell, capsys: pytest.CaptureFixture[str]
    ) -> None:
        shell.variables["SKERRY_PASSWORD"] = "secret"
        for arguments in ([], ["--ca-hash", OTHER_HASH]):
            cloud = self.cloud()
            assert shell.run("login", "https://cloud:1", "--user", "ann", *arguments, cloud=cloud) == 1
            assert [request for request, _ in cloud.asked] == ["GET /v1/ca"]
        assert ca_hash(CA) in capsys.readouterr().err

    def test_an_authority_that_cannot_be_pinned_is_refused(self, shell: Shell) -> None:
        shell.variables["SKERRY_PASSWORD"] = "secret"
        cloud = self.cloud()
        assert shell.run("login", "cloud:1", "--user", "ann", "--ca-hash", ca_hash(CA), cloud=cloud) == 1
        assert [request for request, _ in cloud.asked] == ["GET /v1/ca"]

    def test_it_refuses_what_is_no_address(self, shell: Shell) -> None:
        for url in ("http://cloud", "https://cloud/path", "https://", "https://cloud:port", "https://a@cloud"):
            assert shell.run("login", url, "--user", "ann") == 1

    def test_without_a_password_it_is_refused_where_nobody_can_be_asked(
        self, shell: Shell, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sys.stdin.isatty", lambda: False)
        code = shell.run("login", "cloud:1", "--user", "ann", "--ca-hash", ca_hash(CA), cloud=self.cloud())
        assert code == 1
        assert "--password-file" in capsys.readouterr().err


def test_logging_out_forgets_the_login_even_where_the_cloud_is_away(logged_in: Shell) -> None:
    assert logged_in.run("logout", cloud=canned(post_v1_logout=httpx.ConnectError("gone"))) == 0
    assert logged_in.run("logout") == 1


def test_a_project_is_printed_checked_and_refused(
    shell: Shell, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text("name: hello\nservices:\n  web:\n    image: web:${TAG}\n    environment: {A: b}\n")
    shell.variables["TAG"] = "7"
    assert shell.run("app", "config", str(tmp_path)) == 0
    assert '    image: "web:7"\n' in capsys.readouterr().out
    assert shell.run("app", "config", str(file), "--json") == 0
    assert json.loads(capsys.readouterr().out)["services"]["web"]["image"] == "web:7"
    assert shell.run("app", "check", str(file)) == 0
    assert capsys.readouterr().out == "hello: 1 service can run on a device\n"
    file.write_text("services:\n  web:\n    image: web\n    network_mode: bridge\n")
    assert shell.run("app", "check", str(file), "--json") == 1
    assert "network_mode" in json.loads(capsys.readouterr().out)["error"]["message"]


def test_a_folder_among_files_is_refused(shell: Shell, tmp_path: Path) -> None:
    assert shell.run("app", "check", str(tmp_path), str(tmp_path / "compose.yaml")) == 1


def added_callable(root: typer.Typer) -> None:
    root.command("added")(lambda: None)


added_group = typer.Typer()
added_group.command("run")(lambda: None)


def test_other_halves_add_commands_and_a_missing_one_adds_none() -> None:
    root = command_line()
    here = __name__
    entries = [
        EntryPoint("one", f"{here}:added_callable", "skerry.commands"),
        EntryPoint("app", f"{here}:added_group", "skerry.commands"),
        EntryPoint("gone", "no_such_module_here:x", "skerry.commands"),
    ]
    join(root, entries)
    found = commands(typer.main.get_command(root))
    assert set(found) - set(ALL) == {"added", "app run"}


def test_the_command_line_imports_nothing_else_of_the_product_but_the_contract_and_compose() -> None:
    for file in (ROOT / "cloud/cli").glob("*.py"):
        for name in re.findall(r"^\s*(?:from|import) (cloud|device)\b([.\w]*)", file.read_text(), re.MULTILINE):
            assert name[0] == "cloud", file
            assert name[1].startswith(".cli"), file
