"""A release that does not work: the device goes back to the one that did, says why, and does not try it again."""

from __future__ import annotations

from examples.demo.world import hello_folder
from tests.harness.stage import SETTLED, Stage

GOOD = "      GREETING: ${GREETING:-hello from a skerry}\n"
BAD = GOOD + '    entrypoint: ["/bin/busybox", "sh", "-c", "echo no sail today; exit 3"]\n'


def deploy_broken(stage: Stage) -> str:
    """Push and deploy a release whose web service ends at once."""
    folder = hello_folder(stage.folder / "broken")
    compose = folder / "compose.yaml"
    text = compose.read_text()
    head, _, tail = text.partition("  web:\n")
    compose.write_text(head + "  web:\n" + tail.replace(GOOD, BAD).replace("restart: unless-stopped", 'restart: "no"'))
    variables = {"GREETING": "broken", "REVISION": "1", "HELLO_PORT": str(stage.page_port)}
    release = str(stage.cli("app", "push", str(folder), environment=variables)["release"])
    stage.cli("deploy", "hello")
    return release


def test_a_release_that_fails_is_rolled_back_and_reported_with_its_last_words(stage: Stage) -> None:
    deploy_broken(stage)
    stage.until(lambda: stage.app_state() == "failed", "the failure is reported")
    stage.until(lambda: stage.page() == "one", "the page of the release that worked answers again")
    stage.until(lambda: stage.device.containers() == SETTLED, "both services are healthy again")
    stage.until(lambda: "last good release" in _message(stage), "the way back is reported")
    assert "code 3" in _message(stage)
    assert "no sail today" in _message(stage)


def test_a_bad_release_is_not_tried_again_by_a_restarted_worker(stage: Stage) -> None:
    engine = stage.device.engine()
    before = {c.service: c.id for c in engine.observe().containers}
    stage.device.process.kill()
    stage.device.process.start()
    stage.until(lambda: stage.show()["online"], "the device is back")
    stage.until(lambda: "last good release" in _message(stage), "the way back is still reported")
    assert {c.service: c.id for c in engine.observe().containers} == before
    engine.close()


def test_deploy_wait_ends_with_the_code_for_a_failure(stage: Stage) -> None:
    done = stage.cli.run("deploy", "hello", "--wait", "--timeout", "60")
    assert done.returncode == 4, done.stdout + done.stderr


def test_a_fix_gets_through(stage: Stage) -> None:
    stage.deploy_and_settle(greeting="fixed")
    assert stage.audited().holds


def _message(stage: Stage) -> str:
    instances = (stage.show().get("status") or {}).get("instances") or [{}]
    return str(instances[0].get("message", ""))
