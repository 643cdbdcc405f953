"""An app that asks for platform services, as its users see it: locked, freed, with a Redis of its own."""

from __future__ import annotations

from typing import Any

from examples.demo.world import hello_folder
from tests.harness.engine import docker_client
from tests.harness.stage import Stage


def deploy(stage: Stage, greeting: str) -> None:
    """Push and deploy the hello app, its `web` asking for a lock and a Redis."""
    folder = hello_folder(stage.folder / "hello")
    compose = folder / "compose.yaml"
    asking = "    x-skerry: {lock: true, redis: true}\n    depends_on:\n"
    compose.write_text(compose.read_text().replace("    depends_on:\n", asking, 1))
    variables = {"GREETING": greeting, "REVISION": "1", "HELLO_PORT": str(stage.page_port)}
    stage.cli("app", "push", str(folder), environment=variables)
    stage.cli("deploy", "hello")


def inside(stage: Stage, script: str) -> str:
    """Run a script in the `web` container; return what it wrote."""
    engine, client = stage.device.engine(), docker_client()
    web = next(c.id for c in engine.containers() if c.service == "web" and c.state == "running")
    made = client.exec_create(web, ["/bin/busybox", "sh", "-c", script])
    said = bytes(client.exec_start(made["Id"])).decode().strip()
    engine.close()
    client.close()
    return said


def app(stage: Stage) -> dict[str, Any]:
    return dict(stage.show()["status"]["instances"][0])


def test_a_redis_of_its_own_is_there_when_the_app_starts(stage: Stage) -> None:
    deploy(stage, "two")
    stage.settle("two")
    assert inside(stage, "test -S ${SKERRY_APP_REDIS_URL#unix://} && echo there") == "there"


def test_a_locked_app_is_not_switched_and_says_so_also_after_the_worker_was_killed(stage: Stage) -> None:
    inside(stage, "printf 'owner=painter\\nreason=wet paint\\nseconds=900\\n' >$SKERRY_LOCK_DIR/update")
    deploy(stage, "three")
    stage.until(lambda: "wet paint" in str(app(stage)), "the status tells of the lock")
    assert stage.page() == "two"
    stage.device.process.kill()
    stage.device.process.start()
    stage.until(lambda: stage.show()["online"] and "wet paint" in str(app(stage)), "it is told again")
    assert stage.page() == "two"


def test_an_app_that_frees_its_lock_is_switched(stage: Stage) -> None:
    inside(stage, "/bin/busybox rm $SKERRY_LOCK_DIR/update")
    stage.settle("three")
