"""`skerry telemetry export` as a process against the API over TLS: what it writes, and how it goes on."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from broker.payloads import SAMPLES, Sample, pack_samples
from cloud.cli import exits
from cloud.config import free_port
from tests.contract.test_cli_process import LOOPBACK, Command, Served
from tests.contract.test_cloud_api import Joining, User, stored

COUNT = 25_000
HOUR_MS = 3_600_000


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    made = Served(tmp_path / "cloud", free_port(LOOPBACK))
    yield made
    made.stop()
    made.cloud.database.close()


@pytest.fixture
def command(served: Served, tmp_path: Path) -> Command:
    made = Command(tmp_path / "home")
    made.good("login", served.url, "--user", "ann", "--ca-hash", served.ca_hash)
    return made


@pytest.fixture
def device(served: Served) -> str:
    return Joining("pump").enroll(served.cloud.login()).device


def fill(user: User, device: str) -> None:
    """Store what a sensor says each second, a thousand a batch."""
    for first in range(1, COUNT + 1, 1000):
        numbers = range(first, first + 1000)
        samples = [Sample(n * 1000, {"t": f"{n % 90}.5", "rpm": str(n)}) for n in numbers]
        stored(user, device, numbers, SAMPLES, pack_samples(samples))


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_all_samples_are_written_in_their_order(served: Served, command: Command, device: str) -> None:
    fill(served.cloud.login(), device)
    done = command.run("telemetry", "export", "--app", "web")
    found = lines(done.stdout)
    assert [one["seq"] for one in found] == list(range(1, COUNT + 1))
    assert found[0]["fields"] == {"t": "1.5", "rpm": "1"}
    assert done.stderr.endswith("with --since 26.0\n")
    assert command.good("telemetry", "export", "--app", "other") == ""


def test_times_and_fields_choose_and_a_cursor_goes_on(served: Served, command: Command, device: str) -> None:
    fill(served.cloud.login(), device)
    hours = ("--from", "1970-01-01T01:00Z", "--until", "1970-01-01T02:00Z", "--field", "rpm")
    found = lines(command.good("telemetry", "export", "--device", "pump", *hours))
    assert [one["at_ms"] for one in found] == list(range(HOUR_MS, 2 * HOUR_MS, 1000))
    assert found[0]["fields"] == {"rpm": "3600"}
    later = lines(command.good("telemetry", "export", "--since", "25.24501"))
    assert [one["seq"] for one in later] == list(range(24_501, COUNT + 1))


def test_an_export_that_was_killed_goes_on_without_loss_or_repetition(
    served: Served,
    command: Command,
    device: str,
    tmp_path: Path,
) -> None:
    fill(served.cloud.login(), device)
    output, cursor = tmp_path / "all.ndjson", tmp_path / "cursor"
    asked = ("telemetry", "export", "--output", str(output), "--cursor-file", str(cursor))
    process = command.start(*asked)
    while not cursor.exists():
        assert process.poll() is None
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    with output.open("a") as torn:
        torn.write('{"device": "torn')
    told = json.loads(command.good(*asked, "--json"))
    assert [one["seq"] for one in lines(output.read_text())] == list(range(1, COUNT + 1))
    assert told["next"] == "26.0"
    stored(served.cloud.login(), device, range(COUNT + 1, COUNT + 11), SAMPLES)
    assert json.loads(command.good(*asked, "--json"))["samples"] == 10
    assert len(lines(output.read_text())) == COUNT + 10


def test_rows_have_a_column_for_each_field_that_is_named(served: Served, command: Command, device: str) -> None:
    odd = Sample(5, {"a": 'x,"y"\n', "b": os.fsdecode(b"\xff")})
    stored(served.cloud.login(), device, range(1, 2), SAMPLES, pack_samples([odd]))
    wide = list(
        csv.reader(io.StringIO(command.good("telemetry", "export", "--format", "csv", "--field", "a"), newline=""))
    )
    assert wide == [
        ["device", "stream", "epoch", "seq", "at_ms", "a"], [device, "telemetry:web", "1", "1", "5", 'x,"y"\n']
    ]  # fmt: skip
    long = list(csv.reader(io.StringIO(command.good("telemetry", "export", "--format", "csv"), newline="")))
    assert [row[-2:] for row in long] == [["field", "value"], ["a", 'x,"y"\n'], ["b", "base64:/w=="]]


def test_parquet_has_all_of_it(served: Served, command: Command, device: str, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    fill(served.cloud.login(), device)
    output = tmp_path / "all.parquet"
    command.good("telemetry", "export", "--format", "parquet", "--output", str(output))
    table = parquet.read_table(output)
    assert table.column("seq").to_pylist() == list(range(1, COUNT + 1))
    assert table.column("fields").to_pylist()[0] == [("t", "1.5"), ("rpm", "1")]


def test_what_cannot_be_exported_is_said(served: Served, command: Command, device: str, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("mine")
    for arguments, said in (
        (("--output", str(tmp_path / "there")), "is there already"),
        (("--from", "2026-03-01T12:00"), "is not a time"),
        (("--app", "a", "--stream", "b"), "name one of both"),
        (("--since", "x"), "is not a cursor"),
        (("--format", "parquet"), "Parquet"),
        (("--json",), "add --output"),
    ):
        done = command.run("telemetry", "export", *arguments)
        assert done.returncode == exits.REFUSED, done
        assert said in done.stderr
    assert (tmp_path / "there").read_text() == "mine"
