"""Where the link is poor: a mirror on the site, and budgets."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Iterator

import pytest

from examples.demo.world import hello_folder
from tests.harness.nginx import nginx_mirror
from tests.harness.stage import Stage


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stage, str]]:
    stage = Stage(tmp_path_factory.mktemp("s"))
    try:
        stage.begin()
        with nginx_mirror(stage.folder / "mirror", registry=str(stage.cloud.facts["registry"])) as url:
            yield stage, url
    finally:
        stage.end()


def test_an_app_comes_by_way_of_a_mirror_that_the_fleet_was_told_of(mirrored: tuple[Stage, str]) -> None:
    stage, url = mirrored
    stage.cli("fleet", "link", "default", "--mirror", url)
    stage.deploy_and_settle()
    kept = [path for path in (stage.folder / "mirror" / "blobs").rglob("*") if path.is_file()]
    urls = b"".join(path.read_bytes()[:2000] for path in kept)
    spec = stage.cli("device", "show", "pump-1")["status"]["instances"][0]["services"]
    assert len({service["digest"] for service in spec}) <= urls.count(b"/manifests/sha256:")
    assert urls.count(b"/blobs/sha256:") > 0
    assert stage.condition("AllSectionsSupported")["status"]


def test_an_update_waits_for_its_budget_and_comes_when_there_is_one(mirrored: tuple[Stage, str]) -> None:
    stage, _ = mirrored
    stage.cli("fleet", "link", "default", "--mirror", "none", "--bytes-per-day", "10")
    folder = hello_folder(stage.folder / "hello")
    with (folder / "web.sh").open("a") as script:
        script.write("# another layer\n")
    variables = {"GREETING": "two", "HELLO_PORT": str(stage.page_port)}
    stage.cli("app", "push", str(folder), environment=variables)
    (plan,) = stage.cli("deploy", "hello", "--plan")["devices"]
    assert (plan["restarts"], plan["stays"]) == (["web"], ["sensor"])
    assert 0 < plan["bytes"]["layers"] < plan["bytes"]["present"]
    assert plan["disk_after_bytes"] < plan["disk_free_bytes"]
    stage.cli("deploy", "hello")

    def waiting() -> dict[str, str]:
        conditions = stage.show()["status"]["instances"][0].get("conditions", [])
        return next((one for one in conditions if one["type"] == "Waiting"), {})

    stage.until(lambda: waiting().get("reason") == "link_budget", "the update waits for the budget")
    assert "is used up until" in waiting()["message"]
    assert stage.page() == "one"
    stage.cli("fleet", "link", "default", "--bytes-per-day", "none")
    stage.settle("two")
    assert "day_bytes" not in stage.show()["status"]["link"]


def on_a_terminal(stage: Stage, *arguments: str) -> tuple[int, str]:
    """Run a command of `skerry` on a terminal; return its exit code and all that it wrote."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "cloud.cli.main", *arguments],
        env=os.environ | {"SKERRY_HOME": str(stage.folder / "home"), "TERM": "xterm", "COLUMNS": "120"},
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    written = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:  # the last one has closed it
            break
        if not piece:
            break
        written += piece
    os.close(master)
    return process.wait(60), written.decode()


def test_on_a_terminal_wait_shows_what_is_on_its_way_and_ends_as_ever(mirrored: tuple[Stage, str]) -> None:
    stage, _ = mirrored
    variables = {"GREETING": "three", "HELLO_PORT": str(stage.page_port)}
    stage.cli("app", "push", str(stage.folder / "hello"), environment=variables)
    code, written = on_a_terminal(stage, "deploy", "hello", "--wait")
    assert code == 0, written
    assert "0 of 1 converged" in written
    assert "pump-1  converged" in written
    done = stage.cli.run("deploy", "hello", "--wait")
    assert "of 1 converged" not in done.stdout + done.stderr
