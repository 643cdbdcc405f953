"""Deploy, update, a cut link, killed parts of the device: nothing is lost, and the newest release wins."""

from __future__ import annotations

import os
import signal

from tests.harness.engine import docker_client
from tests.harness.stage import SETTLED, Stage


def test_a_deployed_app_runs_and_its_page_answers(stage: Stage) -> None:
    assert stage.page() == "one"
    assert stage.device.containers() == SETTLED
    shown = stage.show()
    assert shown["online"]
    assert shown["accepted"]["digest"] == shown["desired"]["digest"]


def test_an_update_replaces_only_what_changed(stage: Stage) -> None:
    engine = stage.device.engine()
    before = {c.service: c.id for c in engine.observe().containers}
    stage.deploy_and_settle(greeting="two")
    after = {c.service: c.id for c in engine.observe().containers}
    engine.close()
    assert after["sensor"] == before["sensor"]
    assert after["web"] != before["web"]


def test_images_are_pinned_by_digest(stage: Stage) -> None:
    shown = stage.cli("app", "show", "hello")
    release = shown["releases"][0]["release"]
    assert release.startswith("sha256:")
    services = stage.show()["status"]["instances"][0]["services"]
    assert all("@sha256:" in service["image"] for service in services)


def test_a_cut_link_loses_no_sample_and_no_deployment(stage: Stage) -> None:
    stage.device.link.cut()
    stage.until(lambda: not stage.show()["online"], "the cloud notices that the device is gone")
    before = stage.stored()
    stage.deploy(greeting="three")
    written = stage.written()
    stage.until(lambda: stage.written() > written + 10, "the app goes on writing")
    assert stage.stored() == before
    assert stage.page() == "two"
    stage.device.link.restore()
    stage.settle("three")
    assert stage.audited().holds


def test_a_worker_killed_in_an_update_finishes_it(stage: Stage) -> None:
    stage.deploy(greeting="four", revision="2")
    stage.until(lambda: stage.device.containers() != SETTLED, "the update has begun")
    stage.device.process.kill()
    stage.device.process.start()
    stage.settle("four")
    assert stage.audited().holds


def test_apps_go_on_while_the_worker_is_stopped_and_a_container_removed_by_hand_comes_back(stage: Stage) -> None:
    engine = stage.device.engine()
    web = next(c.id for c in engine.observe().containers if c.service == "web")
    engine.remove(web)
    stage.settle("four")
    stage.device.process.stop()
    assert stage.device.containers() == SETTLED
    assert stage.page() == "four"
    stage.device.process.start()
    engine.close()
    stage.until(lambda: stage.show()["online"], "the device is back")
    stage.settle("four")


def test_an_image_that_is_removed_while_the_link_is_away_comes_back_from_what_the_device_has_kept(stage: Stage) -> None:
    greeting = stage.page()
    stage.device.link.cut()
    stage.device.process.kill()
    engine, client = stage.device.engine(), docker_client()
    gone = engine.observe().containers
    for container in gone:
        engine.remove(container.id)
    for image in {container.image for container in gone}:
        client.remove_image(image, force=True)
        assert not engine.has_image(image)
    stage.device.process.start()
    stage.until(lambda: stage.device.containers() == SETTLED and stage.page() == greeting, "all of it runs again")
    assert {container.image for container in engine.observe().containers} == {container.image for container in gone}
    client.close()
    engine.close()
    stage.device.link.restore()
    stage.settle(greeting)


def test_both_redis_servers_killed_lose_nothing(stage: Stage) -> None:
    for name in ("store.sock", "redis.sock"):
        stage.until(lambda which=name: stage.child_pid(which), f"the server of {name} runs")  # type: ignore[misc]
        os.kill(stage.child_pid(name), signal.SIGKILL)
        written = stage.written()
        stage.until(lambda at=written: stage.written() > at + 5, "the app writes again")  # type: ignore[misc]
    assert stage.audited().holds


def test_log_lines_arrive_with_their_service(stage: Stage) -> None:
    lines = stage.cli("logs", "hello", "--service", "web")["lines"]
    assert any(line["text"] == "web serves: four" for line in lines)
    assert {line["service"] for line in lines} == {"web"}


def test_the_story_of_the_device_is_a_stream_and_the_audit_of_all_streams_is_complete(stage: Stage) -> None:
    events = stage.api(f"/v1/telemetry?device={stage.device.id}&stream=events:device&limit=10000")["samples"]
    happened = [event["fields"] for event in events]
    assert {"accepted", "app", "service"} <= {fields["event"] for fields in happened}
    assert any(fields.get("state") == "converged" for fields in happened)
    times = [event["at_ms"] for event in events]
    assert times == sorted(times)
    stage.until(
        lambda: stage.cli("telemetry", "audit", stage.device.id)["complete"], "every number is stored or named as lost"
    )
