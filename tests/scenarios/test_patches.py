"""An update as a patch, from push to page: made by the cloud, fetched and applied by the device, told to people."""

from __future__ import annotations

import random
import sqlite3

from examples.demo.world import hello_folder
from tests.harness.stage import Stage

LINES = random.Random(7)  # noqa: S311 - the same every time


def pushed(stage: Stage, *, greeting: str, lines: str) -> str:
    """Push a release whose page's script ends with some lines."""
    folder = hello_folder(stage.folder / "hello")
    with (folder / "web.sh").open("a") as script:
        script.write(lines)
    variables = {"GREETING": greeting, "HELLO_PORT": str(stage.page_port)}
    return str(stage.cli("app", "push", str(folder), environment=variables)["release"])


def patches(stage: Stage) -> int:
    """Return how many images the cloud has patches to."""
    connection = sqlite3.connect(f"file:{stage.cloud.database}?mode=ro", uri=True)
    try:
        return int(connection.execute("SELECT count(*) FROM patches WHERE artifact != ''").fetchone()[0])
    finally:
        connection.close()


def test_an_update_of_a_line_moves_little_and_says_so(stage: Stage) -> None:
    text = "".join(f"# {LINES.randbytes(30).hex()}\n" for _ in range(1_500))
    pushed(stage, greeting="large", lines=text)
    stage.cli("deploy", "hello")
    stage.settle("large")
    before = patches(stage)
    pushed(stage, greeting="patched", lines=text + "# one more line\n")
    stage.cli("deploy", "hello")  # at once: it waits for the patch
    stage.settle("patched")
    assert patches(stage) > before
    stage.until(lambda: " saved 0 " not in stage.condition("PatchesApply")["message"], "the device tells what it saved")
    told = stage.condition("PatchesApply")
    assert told["status"]
    assert int(told["message"].split()[2]) > 30_000, told["message"]
