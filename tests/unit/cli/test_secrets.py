"""Secrets on the command line: read from where nobody else reads them, sealed before they leave, never shown."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest

from broker.sealing import Opener, about_secret
from tests.unit.cli.cloud import CannedCloud, Shell

VAULT = Opener(b"v" * 32)
APP = {"app": "aaaaaaaaaaaa", "name": "hello", "namespace": "o/a"}
PUT = "PUT /v1/apps/hello/secrets/api-key"


def canned(*, changed: bool = True) -> CannedCloud:
    return CannedCloud(
        {
            "GET /v1/apps/hello": [(200, APP)],
            "GET /v1/secrets/key": [(200, {"key": base64.b64encode(VAULT.public).decode()})],
            PUT: [(200, {"app": "hello", "name": "api-key", "version": 3, "changed": changed})],
        }
    )


def sent(cloud: CannedCloud) -> bytes:
    """Return the value that was sent, as the vault opens it; it is in no request as it is."""
    (body,) = [body for key, body in cloud.asked if key == PUT]
    return VAULT.open(about_secret("aaaaaaaaaaaa", "api-key"), base64.b64decode(body["sealed"]))


def piped(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))


@pytest.mark.parametrize(
    ("data", "value"), [(b"sesame\n", b"sesame"), (b"sesame\r\n", b"sesame"), (b"a\nb\n\n", b"a\nb\n"), (b"", b"")]
)
def test_a_piped_value_is_taken_without_the_newline_at_its_end(
    logged_in: Shell, monkeypatch: pytest.MonkeyPatch, data: bytes, value: bytes
) -> None:
    piped(monkeypatch, data)
    cloud = canned()
    assert logged_in.run("secret", "set", "hello", "api-key", cloud=cloud) == 0
    assert sent(cloud) == value


@pytest.mark.parametrize("from_stdin", [False, True])
def test_the_bytes_of_a_file_are_taken_as_they_are(
    logged_in: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, from_stdin: bool
) -> None:
    piped(monkeypatch, b"\x00\xff\n")
    (tmp_path / "key").write_bytes(b"\x00\xff\n")
    cloud = canned()
    place = "-" if from_stdin else str(tmp_path / "key")
    assert logged_in.run("secret", "set", "hello", "api-key", "--file", place, cloud=cloud) == 0
    assert sent(cloud) == b"\x00\xff\n"


def test_a_value_leaves_sealed_and_is_not_shown(
    logged_in: Shell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    piped(monkeypatch, b"sesame-seed")
    cloud = canned()
    assert logged_in.run("secret", "set", "hello", "api-key", "--fleet", "boats", cloud=cloud) == 0
    assert next(body for key, body in cloud.asked if key == PUT)["fleet"] == "boats"
    assert all(b"sesame-seed" not in request.content for request in cloud.requests)
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "secret api-key of hello is version 3 now\n")


def test_the_same_value_again_is_told(
    logged_in: Shell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    piped(monkeypatch, b"sesame")
    assert logged_in.run("secret", "set", "hello", "api-key", cloud=canned(changed=False)) == 0
    assert "has this value already, as version 3" in capsys.readouterr().err


@pytest.mark.parametrize(("size", "message"), [(None, "cannot read"), (8193, "8193 bytes; 8192 may travel")])
def test_what_cannot_be_sent_is_refused(
    logged_in: Shell, capsys: pytest.CaptureFixture[str], tmp_path: Path, size: int | None, message: str
) -> None:
    if size is not None:
        (tmp_path / "key").write_bytes(b"a" * size)
    cloud = canned()
    assert logged_in.run("secret", "set", "hello", "api-key", "--file", str(tmp_path / "key"), cloud=cloud) == 1
    assert message in capsys.readouterr().err
    assert PUT not in [key for key, _ in cloud.asked]


ROW: dict[str, Any] = {"name": "api-key", "version": 3, "fleet": None, "created_ms": 0, "by": "ann"}


def test_secrets_are_listed(logged_in: Shell, capsys: pytest.CaptureFixture[str]) -> None:
    rows = {"app": "hello", "secrets": [ROW, ROW | {"version": 2, "fleet": "boats"}]}
    cloud = CannedCloud({"GET /v1/apps/hello/secrets": [(200, rows)]})
    assert logged_in.run("secret", "list", "hello", cloud=cloud) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["SECRET", "VERSION", "FOR", "SET", "BY"]
    assert [line.split()[:3] for line in lines] == [["api-key", "3", "all"], ["api-key", "2", "boats"]]
    assert logged_in.run("secret", "list", "hello", "--json", cloud=cloud) == 0
    assert json.loads(capsys.readouterr().out) == rows


def test_a_secret_is_removed_for_one_fleet(logged_in: Shell) -> None:
    cloud = CannedCloud({"DELETE /v1/apps/hello/secrets/api-key": [(200, {})]})
    assert logged_in.run("secret", "remove", "hello", "api-key", "--fleet", "boats", cloud=cloud) == 0
    assert cloud.asked == [("DELETE /v1/apps/hello/secrets/api-key", {"fleet": "boats"})]
