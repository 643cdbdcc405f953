"""Tokens for programs, and the log of changes, on the command line."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from broker.tls import ca_hash
from cloud import pki
from cloud.cli import credentials
from tests.unit.cli.cloud import CannedCloud, Shell
from tests.unit.cli.test_command_line import CA

MADE: dict[str, Any] = {
    "token": "0123456789ab", "name": "ci", "scopes": ["read", "ci"], "created_ms": 0, "expires_ms": 1,
    "secret": "skt_s",
}  # fmt: skip
ME = {"user": "ann", "org": "o1", "org_name": "acme", "scopes": ["ci"], "expires_ms": 99_000}


def test_a_token_is_alone_on_standard_output(logged_in: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    cloud = CannedCloud({"POST /v1/tokens": [(201, MADE)]})
    assert logged_in.run("token", "create", "ci", "--scope", "read", "--scope", "ci", "--ttl", "12h", cloud=cloud) == 0
    assert cloud.asked == [("POST /v1/tokens", {"name": "ci", "scopes": ["read", "ci"], "ttl_s": 43_200})]
    shown = capsys.readouterr()
    assert shown.out == "skt_s\n"
    assert "token 0123456789ab for ci, may: read, ci" in shown.err


def test_tokens_are_listed_and_ended(logged_in: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    cloud = CannedCloud({"GET /v1/tokens": [(200, {"tokens": [MADE]})], "DELETE /v1/tokens/0123456789ab": [(204, "")]})
    assert logged_in.run("token", "list", cloud=cloud) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("0123456789ab  ci    read ci")
    assert logged_in.run("token", "revoke", "0123456789ab", cloud=cloud) == 0
    assert capsys.readouterr().err == "token 0123456789ab is over\n"


def test_the_log_of_changes_is_shown_in_pages(logged_in: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    change = {"id": 7, "at_ms": 0, "by": "ann", "action": "fleet.create", "subject": "f1", "detail": "north"}
    cloud = CannedCloud({"GET /v1/audit": [(200, {"changes": [change]})]})
    assert logged_in.run("audit", "--limit", "1", "--before", "8", cloud=cloud) == 0
    assert cloud.asked == [("GET /v1/audit", {"limit": "1", "before": "8"})]
    assert [word for word in capsys.readouterr().out.splitlines()[1].split() if word in ("7", "ann", "fleet.create")]


@pytest.mark.parametrize("way", ["file", "variable"])
def test_a_program_logs_in_with_a_token(shell: Shell, tmp_path: Path, way: str) -> None:
    (tmp_path / "pki").mkdir()
    pki.make(tmp_path / "pki", now=dt.datetime.now(dt.UTC))
    authority = (tmp_path / "pki" / "servers.crt").read_text()
    cloud = CannedCloud({"GET /v1/ca": [(200, authority)], "GET /v1/me": [(200, ME)]})
    more: list[str] = []
    if way == "file":
        (tmp_path / "token").write_text("skt_s\n")
        more = ["--token-file", str(tmp_path / "token")]
    else:
        shell.variables["SKERRY_TOKEN"] = "skt_s"
    assert shell.run("login", "cloud:1", "--ca-hash", ca_hash(authority), *more, cloud=cloud) == 0
    assert [request.headers["authorization"] for request in cloud.requests[1:]] == ["Bearer skt_s"]
    kept = credentials.read(shell.home, credentials.DEFAULT_NAME)
    assert (kept.token, kept.user, kept.org, kept.expires_ms) == ("skt_s", "ann", "o1", 99_000)


def test_without_a_name_and_a_token_nobody_logs_in(shell: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    cloud = CannedCloud({"GET /v1/ca": [(200, CA)]})
    assert shell.run("login", "cloud:1", "--ca-hash", ca_hash(CA), cloud=cloud) == 1
    assert "nobody is named to log in" in capsys.readouterr().err
