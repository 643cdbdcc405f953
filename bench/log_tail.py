"""How long a line takes from a container to the screen of who follows the log, and that cuts of the link lose none.

`./run bench log_tail [--lines N] [--cuts N] [--json]`. A real cloud, worker, engine and `skerry logs --follow`, all on
loopback. The time is from the engine's stamp of a line until the command has printed it, by one clock.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from examples.demo.world import hello_folder
from tests.harness.servers import use_unpacked_servers
from tests.harness.stage import Stage

EVERY_S = 0.25
DOCKERFILE = 'FROM scratch\nCOPY busybox /bin/busybox\nENTRYPOINT ["/bin/busybox", "sh", "-c"]\n'
COMPOSE = f"""name: ticker
services:
  ticker:
    build: .
    command: ["n=0; while :; do n=$$((n + 1)); echo line $$n; /bin/busybox sleep {EVERY_S}; done"]
    stop_grace_period: 1s
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=200, help="how many lines are timed")
    parser.add_argument("--cuts", type=int, default=50, help="how often the link is cut afterwards")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    use_unpacked_servers()
    with tempfile.TemporaryDirectory(prefix="skerry-") as folder:
        stage = Stage(Path(folder))
        try:
            figures = measured(stage, lines=asked.lines, cuts=asked.cuts)
        finally:
            stage.end()
    if asked.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name.replace('_', ' '):22}{value}")


def measured(stage: Stage, *, lines: int, cuts: int) -> dict[str, float]:
    stage.begin()
    project = hello_folder(stage.folder / "ticker")
    (project / "compose.yaml").write_text(COMPOSE)
    (project / "Dockerfile").write_text(DOCKERFILE)
    stage.cli("app", "push", str(project))
    stage.cli("deploy", "ticker")
    stage.until(lambda: stage.api("/v1/logs")["lines"], "the first lines have come")
    tail = stage.cli.going_on("logs", "ticker", "--follow", "--tail", "1", "--json", stdout=subprocess.PIPE)
    try:
        shown = printed(tail)
        numbers, took_ms = [], []
        for at_ms, line in shown:
            numbers.append(line["seq"])
            took_ms.append(at_ms - line["at_ms"])
            if len(numbers) > lines:
                break
        for _ in range(cuts):
            stage.device.link.cut()
            stage.until(lambda: not stage.show()["online"], "the cloud notices")
            stage.device.link.restore()
            stage.until(lambda: stage.show()["online"], "the device is back")
        last = stage.api("/v1/logs?newest=true&limit=1")["lines"][0]["seq"]
        for _, line in shown:
            numbers.append(line["seq"])
            if line["seq"] >= last:
                break
    finally:
        tail.terminate()
        tail.communicate()
    texts = {line["seq"]: line["text"] for line in every_line(stage)}
    took_ms = took_ms[1:]  # the first is an old one
    return {
        "lines_timed": len(took_ms),
        "median_ms": round(statistics.median(took_ms), 1),
        "p95_ms": round(statistics.quantiles(took_ms, n=20)[-1], 1),
        "cuts": cuts,
        "lines_shown": len(numbers),
        "missed": numbers[-1] - numbers[0] + 1 - len(set(numbers)),
        "shown_twice": len(numbers) - len(set(numbers)),
        "lost_in_the_store": sum(f"line {n}" not in texts.values() for n in range(1, numbers[-1])),
    }


def printed(tail: subprocess.Popen[bytes]) -> Iterator[tuple[float, dict[str, int]]]:
    """Yield when each line came out, in milliseconds of 1970, and the line."""
    assert tail.stdout is not None
    for text in tail.stdout:
        at_ms = time.time() * 1000
        found = json.loads(text) if text.startswith(b"{") else {}
        if "line" in found:
            yield at_ms, found["line"]


def every_line(stage: Stage) -> Iterator[dict[str, str]]:
    after = ""
    while True:
        page = stage.api(f"/v1/logs?limit=10000&after={after}")
        yield from page["lines"]
        if page["next"] in (None, after):
            return
        after = page["next"]


if __name__ == "__main__":
    main()
