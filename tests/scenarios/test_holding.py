"""What holds an update up or goes past it, on each real engine: locks, pulls, requests, the owner's policy."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from broker.ids import new_id
from broker.messages import AppSection
from device.platform.locks import Locks
from device.reconcile.requests import Restart, Start, Stop, Unlock
from device.telemetry.accounts import lock_key_of
from tests.harness.islet import Islet
from tests.harness.telemetry import SECTIONS, running
from tests.unit.device.fakes import BOOT, FakeClock

SH = ["/bin/busybox", "sh", "-c"]
TWO = {"environment": {"REVISION": "two"}}
HELD = "owner=painter\nreason=wet paint\nseconds=600\n"
SICK: dict[str, Any] = {
    "healthcheck": {"test": ["CMD", "/bin/busybox", "false"], "interval_ms": 200, "timeout_ms": 2000, "retries": 100}
}


@pytest.fixture
def locks(place: Islet, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Locks of the islet's app by file and by Redis, and who takes and frees each."""
    place.instance = SECTIONS[0].instance  # which has an account in that Redis
    with running(tmp_path_factory.mktemp("d")) as bench:
        made = Locks(
            bench.paths.state / "locks",
            intake=bench.intake,
            memory=bench.paths.state / "locks.json",
            boot=BOOT,
            max_s=1000.0,
            clock=FakeClock(),
            freed=place.mailbox.poke,
        )
        made.prepare([place.instance], with_keys=[place.instance])
        place.lock_of = made.lock_of
        file, app, key = made.folder(place.instance) / "update", bench.app(), lock_key_of(place.instance)
        yield {
            "file": (lambda: file.write_text(HELD), file.unlink),
            "key": (lambda: app.set(key, HELD), lambda: app.delete(key)),
            "watch": made.watch_once,
        }
        app.close()


@pytest.mark.parametrize("kind", ["file", "key"])
def test_a_lock_holds_the_switch_up_and_not_the_transfer(place: Islet, locks: dict[str, Any], kind: str) -> None:
    take, free = locks[kind]
    place.settle(place.release({"web": {}}))
    before = place.ids()
    take()
    place.want(place.release({"web": TWO}, image="two"))
    place.until(lambda: place.conditions().get("Waiting") == "locked", "the update waits")
    assert place.message() == "held by the update lock of painter: wet paint, for at most 10 min"
    assert place.engine.has_image(place.images["two"])
    assert place.ids() == before
    free()
    locks["watch"]()
    place.until(lambda: place.state() == "converged", "the update is done")
    assert place.ids() != before
    assert place.conditions() == {"Healthy": ""}


def forced(app: AppSection) -> AppSection:
    made = app.model_copy(update={"settings": {"force": True}})
    return made.model_copy(update={"digest": made.computed_digest()})


@pytest.mark.parametrize("past", ["a forced deployment", "a request"])
def test_a_lock_is_gone_past_by(place: Islet, locks: dict[str, Any], past: str) -> None:
    locks["file"][0]()
    place.settle(place.release({"web": {}}))  # nothing runs yet that could be disturbed
    before = place.ids()
    place.want(place.release({"web": TWO}))
    place.until(lambda: "Waiting" in place.conditions(), "the update waits")
    if past == "a request":
        assert place.ask(Unlock(place.instance)) == "the lock of painter does not count any more"
    else:
        place.want(forced(place.release({"web": TWO})))
    place.until(lambda: place.state() == "converged", "the update is done")
    assert place.ids() != before


def test_a_newer_release_goes_past_one_whose_image_does_not_come(place: Islet) -> None:
    go_on, pull = threading.Event(), place.pull
    place.settle(place.release({"web": {}}))

    def slow(image: str, told: Callable[[int, int], None]) -> None:
        while not go_on.wait(0.05):
            told(1, 100)  # which ends it once nobody wants it
        pull(image, told)

    for image in ("two",):
        if place.engine.has_image(place.images[image]):
            place.engine.remove_image(place.images[image])
    place.pull = slow
    place.want(place.release({"web": TWO}, image="two"))
    place.until(lambda: place.conditions().get("Fetching") == "image_absent", "its image is fetched")
    before = place.ids()
    place.settle(place.release({"web": {"environment": {"REVISION": "three"}}}))
    assert place.ids() != before
    assert not place.engine.has_image(place.images["two"])
    go_on.set()


def test_a_newer_release_goes_past_one_that_is_still_judged(place: Islet) -> None:
    place.settle(place.release({"web": {}}))
    place.want(place.release({"web": SICK | {"environment": {"REVISION": "never"}}}))
    place.until(lambda: "Switching" in place.conditions() and len(place.all_ids()) == 2, "the update has begun")
    place.settle(place.release({"web": TWO}))
    assert place.ever() >= {"Superseded"}
    assert "RolledBack" not in place.ever()
    place.until(lambda: len(place.all_ids()) == 1, "nothing is left of the others")


def test_a_service_stopped_by_request_stays_so_until_it_is_started(place: Islet) -> None:
    app = place.release({"web": {}})
    place.settle(app)
    before = place.ids()
    place.ask(Stop(app.instance))
    place.until(lambda: not place.containers(), "it is stopped")
    place.ask(Start(app.instance))
    place.until(lambda: place.ids() == before, "it runs again")


def test_a_restart_is_answered_once_it_runs_again(place: Islet) -> None:
    def starts() -> dict[str, int | None]:
        return {slot: place.engine.details(container).started_at_ms for slot, container in place.ids().items()}

    app = place.release({"web": {}, "db": {}})
    place.settle(app)
    before, ids = starts(), place.ids()
    answers: list[tuple[bool, str]] = []
    with place.held_back():
        place.reconciler.ask(Restart(app.instance, "web"), lambda ok, message: answers.append((ok, message)))
        place.until(lambda: place.state() == "updating", "it is written down")
        assert answers == []
    place.until(lambda: answers, "it is answered")
    assert answers == [(True, "1 container runs again")]
    after = starts()
    assert [slot for slot in sorted(before) if after[slot] != before[slot]] == ["web"]
    assert place.ids() == ids


def test_an_app_that_the_owner_refuses_leaves_no_trace_and_others_go_on(place: Islet) -> None:
    app, bad = place.release({"web": {}}), new_id("i")
    place.settle(app)
    before = place.ids()
    refused = place.release({"root": {"privileged": True}}, name="greedy", instance=bad, volumes={"data": {}})
    place.want(place.release({"web": TWO}), refused)
    place.until(lambda: place.state() == "converged" and place.state(bad) == "failed", "one goes on, one is refused")
    status = place.status(bad)
    assert status is not None
    assert status.message.startswith("refused by the device's policy: service root: privileged")
    assert [(c.type, c.reason) for c in status.conditions if c.status] == [("Refused", "policy")]
    assert place.ids() != before
    seen = place.engine.observe()
    assert {each.instance for each in seen.containers} == {app.instance}
    assert {each.instance for each in seen.networks} == {app.instance}
    assert not seen.volumes
    place.want(place.release({"web": TWO}), place.release({"root": {}}, name="greedy", instance=bad))
    place.until(lambda: place.state(bad) == "converged", "without that it runs")


def test_an_app_that_is_refused_goes_on_with_the_release_it_has(place: Islet, tmp_path: Path) -> None:
    place.settle(place.release({"web": {}}))
    before = place.ids()
    place.want(place.release({"web": {"privileged": True}}))
    place.until(lambda: place.conditions().get("Refused") == "policy", "it is refused")
    with place.client() as engine:
        engine.stop(before["web"], timeout=3)
    place.until(lambda: place.ids() == before, "and what runs of it is kept running")
