"""CSV files of sensor readings sent as an app sends them, and made again from what the cloud gives back."""

from __future__ import annotations

import base64
import csv
import io
import json
import math
import os
from collections.abc import Iterable, Mapping
from random import Random
from typing import Any

import redis

from device.config import Paths
from tests.chaos.rig.shore import App, Shore

ROWS = 2_000
BLOBS = 256
NO_TEXT = b"\xff raw"  # the name of a field, and never valid UTF-8
NAMES = ("time", "temperature °C", "pressure", "vibration", "flow", "state", "note")


def made(seed: int, *, rows: int = ROWS) -> str:
    """Return a CSV file of a pump as a logger writes it: a curve with noise, floats of all lengths, empty cells."""
    random = Random(seed)  # noqa: S311 - the same file for the same seed
    text = io.StringIO()
    sheet = csv.DictWriter(text, NAMES)
    sheet.writeheader()
    pressure = 1013.25
    for row in range(rows):
        pressure += random.gauss(0, 0.05)
        clock = f"{row // 3600 % 24:02}:{row // 60 % 60:02}:{row % 60:02}.{random.randrange(1000):03}"
        sheet.writerow(
            {
                "time": f"2026-03-01T{clock}Z",
                "temperature °C": "" if random.random() < 0.01 else f"{20 + 4 * math.sin(row / 400):.2f}",
                "pressure": repr(pressure),
                "vibration": f"{random.expovariate(1e6):.6e}",
                "flow": "-0.0" if row % 97 == 0 else str(random.uniform(-1e-9, 1e9)),
                "state": random.choice(("run", "idle", "NaN", "")),
                "note": 'valve "A", open\nby hand' if row % 211 == 0 else "µ ✓" if row % 101 == 0 else "",
            }
        )
    return text.getvalue()


def crossed(shore: Shore, app: App, *, seed: int) -> dict[str, Any]:
    """Send a file, a row an entry, and compare what comes back, byte by byte: by the rows, and by the command line."""
    text = made(seed)
    already = len(shore.kept(app))
    account = shore.account(app)
    client: Any = redis.Redis(
        unix_socket_path=str(Paths(shore.device.state).intake_socket),
        username=account["user"],
        password=account["password"],
    )
    pipeline = client.pipeline(transaction=False)
    for row in csv.DictReader(io.StringIO(text, newline="")):
        pipeline.xadd(app.stream, row)
    pipeline.execute()
    blobs = [bytes([n]) * (n % 7) + Random(seed + n).randbytes(n) for n in range(BLOBS)]  # noqa: S311 - as above
    for blob in blobs:
        pipeline.xadd(app.stream, {NO_TEXT: blob})
    pipeline.execute()
    client.close()
    shore.stage.until(lambda: len(shore.kept(app)) == already + ROWS + BLOBS, "the series is stored")
    kept = [sample.fields for sample in shore.kept(app)]
    named = os.fsdecode(NO_TEXT)
    bytes_equal = [os.fsencode(fields[named]) for fields in kept if named in fields] == blobs
    rows = [fields for fields in kept if "n" not in fields and named not in fields]
    done = shore.stage.cli.run("telemetry", "--stream", app.stream, "--limit", str(ROWS + BLOBS), "--json")
    told = json.loads(done.stdout)["samples"]
    by_rows, by_command = _sheet(rows) == text, _sheet(sample["fields"] for sample in told[:ROWS]) == text
    told_bytes = [_in_base64(sample) for sample in told[ROWS:]] == [{NO_TEXT: blob} for blob in blobs]
    return {
        "rows": ROWS,
        "bytes": len(text.encode()),
        "equal_by_rows": by_rows,
        "equal_by_command": by_command,
        "blobs": BLOBS,
        "blobs_equal_by_rows": bytes_equal,
        "blobs_equal_by_command": told_bytes,
        "held": by_rows and by_command and bytes_equal and told_bytes,
    }


def _in_base64(sample: Mapping[str, Any]) -> dict[bytes, bytes]:
    """Return the fields of a sample as the command line tells those that are no text."""
    found = {base64.b64decode(name): base64.b64decode(value) for name, value in sample.get("binary", [])}
    return found | {name.encode(): value.encode() for name, value in sample["fields"].items()}


def _sheet(rows: Iterable[Mapping[str, str]]) -> str:
    """Return a CSV file of the rows, its columns as they came in the first of them."""
    found = list(rows)
    text = io.StringIO()
    sheet = csv.DictWriter(text, list(found[0]))
    sheet.writeheader()
    sheet.writerows(found)
    return text.getvalue()
