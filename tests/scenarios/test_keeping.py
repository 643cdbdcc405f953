"""How what runs is kept as it should be, on each real engine, whatever people, crashes and engines do to it."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from broker.errors import Passing
from device.engine.port import Progress
from tests.harness.islet import Islet

SH = ["/bin/busybox", "sh", "-c"]
PAIR: dict[str, Any] = {"db": {}, "web": {"depends_on": {"db": {}}}}


def kill(place: Islet, slot: str) -> None:
    """Kill the process of a container, as the kernel does when memory is short."""
    with place.client() as engine:
        os.kill(engine.inspect_container(place.ids()[slot])["State"]["Pid"], signal.SIGKILL)


def away(image: str, told: Progress) -> None:
    raise Passing("the link is away")


def test_what_was_stopped_or_removed_by_hand_is_there_again(place: Islet) -> None:
    place.settle(place.release(PAIR))
    before = place.ids()
    with place.client() as engine:
        engine.stop(before["web"], timeout=3)
        place.until(lambda: place.ids().get("web") == before["web"], "the stopped container runs again")
        engine.remove_container(before["web"], force=True)
    place.until(lambda: place.ids().get("web", before["web"]) != before["web"], "another one has taken its place")
    place.until(lambda: place.state() == "converged", "all is well")
    assert place.ids()["db"] == before["db"]


def test_a_network_that_was_deleted_by_hand_with_who_was_on_it_is_made_anew(place: Islet) -> None:
    place.settle(place.release(PAIR))
    (network,) = place.engine.resources()[0]
    with place.client() as engine, place.held_back():
        for container in place.ids().values():
            engine.remove_container(container, force=True)
        engine.remove_network(network.id)
    place.until(lambda: sorted(place.containers()) == ["db", "web"] and place.state() == "converged", "all is back")


def test_a_network_that_was_deleted_under_running_containers_is_there_again_with_all_of_them_on_it(
    place: Islet,
) -> None:
    place.settle(place.release(PAIR))
    (before,) = place.engine.resources()[0]
    was = place.ids()
    with place.client() as engine, place.held_back():
        for container in was.values():
            engine.disconnect_container_from_network(container, before.name, force=True)
        engine.remove_network(before.id)
    place.until(lambda: sorted(place.ids()) == ["db", "web"] and not was.items() & place.ids().items(), "made anew")
    place.until(lambda: place.state() == "converged", "all is well")
    (after,) = place.engine.resources()[0]
    assert after.id != before.id
    assert place.inside("web", "/bin/busybox nslookup db >/dev/null && echo found") == "found"


def test_a_container_that_was_taken_off_its_network_is_on_it_again(place: Islet) -> None:
    place.settle(place.release(PAIR))
    (network,) = place.engine.resources()[0]
    before = place.ids()
    with place.client() as engine:
        engine.disconnect_container_from_network(before["web"], network.name, force=True)
    place.until(lambda: place.ids().get("web", before["web"]) != before["web"], "another one has taken its place")
    place.until(lambda: place.state() == "converged", "all is well")
    assert place.ids()["db"] == before["db"]
    assert place.inside("web", "/bin/busybox nslookup db >/dev/null && echo found") == "found"


def test_a_container_that_was_renamed_or_paused_by_hand_is_put_right(place: Islet) -> None:
    place.settle(place.release({"web": {}}))
    name = place.containers()["web"].name
    with place.client() as engine:
        engine.rename(place.ids()["web"], f"{name}.by-hand")
        place.until(lambda: place.containers()["web"].name == name, "it has its name again")
        engine.pause(place.ids()["web"])
    place.until(lambda: place.state() == "converged" and "web" in place.containers(), "it goes on")


def test_an_image_that_is_removed_while_the_link_is_away_is_named_and_fetched_once_the_link_is_back(
    place: Islet,
) -> None:
    place.settle(place.release({"web": {}}))
    (network,) = place.engine.resources()[0]
    pull, place.pull = place.pull, away
    with place.client() as engine:
        with place.held_back():
            engine.remove_container(place.ids()["web"], force=True)
            engine.remove_image(place.images["one"], force=True)
        place.until(lambda: place.conditions().get("Fetching") == "fetch_failed", "it says that it cannot be fetched")
    assert "the link is away" in place.message()
    assert place.images["one"] in place.message()
    place.pull = pull
    place.until(lambda: place.state() == "converged" and "web" in place.containers(), "it runs again")
    assert "Fetching" not in place.conditions()
    assert place.engine.resources()[0] == (network,)


def test_restart_policies_are_kept(place: Islet) -> None:
    once = [*SH, "/bin/busybox sleep 0.2; exit 0"]
    services: dict[str, Any] = {
        "always": {"restart": {"policy": "always"}},
        "task": {"command": once, "restart": {"policy": "no"}},
        "tried": {"command": once, "restart": {"policy": "on-failure", "retries": 2}},
    }
    place.settle(place.release(services))
    assert sorted(place.containers()) == ["always"]  # both tasks have ended well, and are not done again
    known = place.all_ids()
    kill(place, "always")
    place.until(lambda: place.state() != "converged" or not place.ids(), "the fall was seen")
    place.until(lambda: place.state() == "converged" and "always" in place.ids(), "it runs again")
    assert place.all_ids() == known


def test_the_status_of_a_service_tells_how_it_is_how_often_it_fell_and_what_it_is_made_from(place: Islet) -> None:
    check = {"test": ["CMD", "/bin/busybox", "true"], "interval_ms": 200, "timeout_ms": 5000}
    once = {"command": [*SH, "exit 0"], "restart": {"policy": "no"}}
    status = place.settle(place.release({"web": {"healthcheck": check}, "task": once}))
    task, web = status.services
    assert (task.name, task.state, task.exit_code, task.restarts) == ("task", "exited", 0, 0)
    assert (web.name, web.state, web.health, web.exit_code, web.restarts) == ("web", "running", "healthy", None, 0)
    assert web.container == place.ids()["web"][:12]
    assert web.started_at_ms == place.engine.details(place.ids()["web"]).started_at_ms
    assert {one.digest for one in (task, web)} == {place.images["one"].partition("@")[2]}
    kill(place, "web")
    place.until(lambda: place.service("web").restarts == 1 and place.state() == "converged", "its fall is counted")
    assert (place.service("web").started_at_ms or 0) > (web.started_at_ms or 0)


def test_a_task_that_fails_is_tried_as_often_as_it_says(place: Islet) -> None:
    task = {"command": [*SH, "echo again >>/data/tries; exit 4"], "restart": {"policy": "on-failure", "retries": 2}}
    mounts = {"mounts": [{"type": "volume", "source": "data", "target": "/data"}]}
    place.settle(place.release({"task": task | mounts, "web": mounts}, volumes={"data": {}}), "failed")
    assert "service task is exited with code 4" in place.message()
    place.until(lambda: place.inside("web", "/bin/busybox wc -l </data/tries") == "3", "it was tried three times")


def test_a_release_that_crashes_again_and_again_is_slowed_down_and_a_fix_gets_through_at_once(
    place: Islet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("device.reconcile.health.CRASH_LOOP_S", 3.0)
    place.want(place.release({"web": {"command": [*SH, "exit 5"]}}))
    place.until(lambda: place.state() == "failed", "it is given up")
    assert "restarts)" in place.message()
    place.settle(place.release({"web": {}}))
    assert place.conditions() == {"Healthy": ""}


def test_a_release_that_crashes_again_and_again_makes_room_for_the_one_that_worked(
    place: Islet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("device.reconcile.health.CRASH_LOOP_S", 3.0)
    place.settle(place.release({"web": {}}))
    before = place.ids()
    place.want(place.release({"web": {"command": [*SH, "echo no sail; exit 5"]}}))
    place.until(lambda: "went back" in place.message(), "the app went back")
    assert place.ids() == before
    assert "no sail" in place.message()  # its last words
