"""What becomes of apps when their engine is killed, and when the whole device is, on engines of the tests' own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.harness.islet import Islet, islet
from tests.harness.own_engine import OwnEngine, own_engine

SH = ["/bin/busybox", "sh", "-c"]
PAIR: dict[str, Any] = {"db": {}, "web": {"depends_on": {"db": {}}}}
ALONE: dict[str, Any] = {"networks": {}}  # a network in memory goes with a reboot, and here it would stay


@pytest.fixture(params=["docker", "podman"])
def engine(request: pytest.FixtureRequest) -> Iterator[OwnEngine]:
    with own_engine(request.param) as made:
        yield made


@pytest.fixture
def place(engine: OwnEngine, tmp_path: Path, releases: Mapping[str, str]) -> Iterator[Islet]:
    with islet(tmp_path, releases, url=engine.url) as made:
        yield made


def releases_of(place: Islet) -> list[str]:
    """Return which release each service runs, by the image the engine has its container made from."""
    names = {digest: name for name, digest in place.images.items()}
    return [f"{slot} {names[container.image]}" for slot, container in sorted(place.containers().items())]


@pytest.mark.parametrize("is_good", [True, False], ids=["a good release", "a bad release"])
def test_an_update_under_an_engine_that_is_killed_ends_wholly_in_one_release(
    place: Islet, engine: OwnEngine, monkeypatch: pytest.MonkeyPatch, is_good: bool
) -> None:
    state = "converged" if is_good else "failed"
    runs = ["db two", "web two"] if is_good else ["db one", "web one"]
    monkeypatch.setattr("device.reconcile.health.CRASH_LOOP_S", 3.0)
    place.settle(place.release(PAIR))
    slow = {"post_start": [{"command": [*SH, "/bin/busybox sleep 1"]}]}
    web: dict[str, Any] = {"depends_on": {"db": {}}} | ({} if is_good else {"command": [*SH, "exit 5"]})
    place.want(place.release({"db": slow, "web": web}, image="two"))
    place.until(lambda: "db two" in releases_of(place), "the update has begun")
    engine.kill()
    place.until(lambda: place.reports[-1].engine_error, "the engine is said to be away")
    assert place.reports[-1].instances == ()  # unknown, and not gone
    engine.start()
    place.until(lambda: place.state() == state, "the update is over")
    place.until(lambda: releases_of(place) == runs, "all of it is of one release")
    assert ("RolledBack" in place.conditions()) == (state == "failed")


def test_after_a_reboot_what_stays_up_runs_again_and_tasks_are_done_again_only_if_their_policy_asks(
    place: Islet, engine: OwnEngine
) -> None:
    note = "echo begun >>/data/$WHO; "
    lasts, ends = f"{note} while :; do /bin/busybox sleep 0.05; done", f"{note} exit 0"
    data = ALONE | {"mounts": [{"type": "volume", "source": "data", "target": "/data"}]}

    def service(name: str, script: str, policy: str) -> dict[str, Any]:
        return data | {"command": [*SH, script], "environment": {"WHO": name}, "restart": {"policy": policy}}

    services = {
        "always": service("always", lasts, "always"),
        "stays": service("stays", lasts, "unless-stopped"),
        "once": service("once", lasts, "no"),
        "tried": service("tried", lasts, "on-failure"),
        "done": service("done", ends, "no"),
        "well": service("well", ends, "on-failure"),
    }
    app = place.release(services, networks={}, volumes={"data": {}})
    place.settle(app)
    before = place.all_ids()
    place.stop()
    engine.cut_power()
    engine.start()
    with place.after_a_restart() as later:
        later.want(app)
        later.until(lambda: sorted(later.ids()) == ["always", "stays", "tried"], "what stays up runs")
        later.until(lambda: later.state() == "degraded", "what is over is said")
        assert "service once is exited with code 255" in later.message()
        assert later.all_ids() == before
        begun = later.inside("always", "cd /data; for f in *; do echo $f $(/bin/busybox wc -l <$f); done")
        assert begun.split("\n") == ["always 2", "done 1", "once 1", "stays 2", "tried 2", "well 1"]
