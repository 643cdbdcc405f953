"""How an app goes to another release, on each real engine: in which order, how many at once, and what if it fails."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from typing import Any

import pytest

from device.engine.port import HookResult
from device.reconcile.crew import WIDTH
from tests.harness.apps import HOST, PYTHON, sealed
from tests.harness.islet import Islet

SH = ["/bin/busybox", "sh", "-c"]
QUICK = {"monitor_ms": 300}
CHECK = {"interval_ms": 200, "timeout_ms": 2000, "retries": 1}
SICK: dict[str, Any] = {"healthcheck": {"test": ["CMD", "/bin/busybox", "false"]} | CHECK}
WELL: dict[str, Any] = {"healthcheck": {"test": ["CMD", "/bin/busybox", "true"]} | CHECK}
TWO = {"environment": {"REVISION": "two"}}
# Asked to end, it still answers everybody who has been let in: what a service owes that is replaced under load.
SERVE = """
import os, signal, socket
listener = socket.create_server(("", 8080), backlog=128)
listener.settimeout(0.05)
signal.signal(signal.SIGTERM, lambda *_: listener.setblocking(False))
while True:
    try:
        link, _ = listener.accept()
    except TimeoutError:
        continue
    except BlockingIOError:
        break  # nobody waits to be let in
    with link:
        link.settimeout(2)
        link.recv(4096)
        link.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\n" + os.environ["REVISION"].encode())
listener.close()
"""


def test_start_first_fails_no_request_by_the_services_name(place: Islet) -> None:
    web = {
        "command": [*PYTHON, SERVE],
        "mounts": HOST,
        "update": {"order": "start-first", "monitor_ms": 1000},
        "environment": {"REVISION": "one"},
    }
    client: dict[str, dict[str, object]] = {"log": {}}
    place.settle(place.release({"web": web, **client}))
    with place.client() as engine:
        pid = engine.inspect_container(place.ids()["log"])["State"]["Pid"]
    asker = subprocess.Popen(
        [sys.executable, "-m", "tests.harness.asker", str(pid), "web", "8080"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    place.settle(place.release({"web": web | {"environment": {"REVISION": "two"}}, **client}))
    told = json.loads(asker.communicate("the update is over\n", timeout=120)[0])
    assert told["failed"] == []
    assert told["answered"] >= 1000
    assert set(told["said"]) == {"one", "two"}


def steps(caplog: pytest.LogCaptureFixture, *verbs: str) -> list[str]:
    """Return the verbs of the steps that were begun with `web`, in order, of those that are asked for."""
    lines = [record.message for record in caplog.records if record.name == "device.reconcile.crew"]
    words = [line.split() for line in lines if is_of_web(line)]
    return [verb for verb, *_ in words if verb in verbs]


def is_of_web(line: str) -> bool:
    return line.split()[1].rstrip(":") == "web"


def test_stop_first_stops_before_it_starts_and_start_first_starts_before_it_stops(
    place: Islet, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    for order, expected in (("stop-first", ["stop", "start"]), ("start-first", ["start", "stop"])):
        place.settle(place.release({"web": {"environment": {"ORDER": order}}}))
        caplog.clear()
        update = QUICK | {"order": order}
        place.settle(place.release({"web": TWO | {"update": update, "environment": {"ORDER": order, "N": "2"}}}))
        assert steps(caplog, "start", "stop") == expected


def test_replicas_are_replaced_one_at_a_time_and_the_others_serve(place: Islet) -> None:
    place.settle(place.release({"web": {"replicas": 3}}))
    fewest = 3
    place.want(place.release({"web": {"replicas": 3} | TWO}, image="two"))

    def watched() -> bool:
        nonlocal fewest
        fewest = min(fewest, len(place.containers()))
        return place.state() == "converged"

    place.until(watched, "the update is over")
    assert fewest == 2
    assert sorted(place.containers()) == ["web", "web.2", "web.3"]


def test_services_that_do_not_need_each_other_are_brought_up_side_by_side_but_not_all_at_once(
    place: Islet, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, lock, at_once, most = place.engine.run_hook, threading.Lock(), 0, 0

    def counted(*what: Any, **keys: Any) -> HookResult:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        try:
            return real(*what, **keys)
        finally:
            with lock:
                at_once -= 1

    monkeypatch.setattr(place.engine, "run_hook", counted)
    slow = {"post_start": [{"command": [*SH, "/bin/busybox sleep 1"]}]}
    place.settle(place.release({f"s{number}": slow for number in range(WIDTH + 2)}))
    assert 1 < most <= WIDTH


def test_an_app_goes_back_as_a_whole_and_what_failed_is_tried_again_only_as_another_attempt(place: Islet) -> None:
    place.settle(place.release({"db": {}, "web": {"depends_on": {"db": {}}}}))
    before = place.ids()
    bad = {"db": TWO, "web": SICK | {"depends_on": {"db": {}}}}
    place.want(place.release(bad))
    place.until(lambda: "went back" in place.message(), "the app went back")
    assert place.ids() == before
    assert place.conditions() == {"Healthy": "", "RolledBack": "release_failed"}
    assert "Switching" in place.ever()
    assert place.all_ids() == set(before.values())
    place.reports.clear()
    place.want(place.release(bad, attempt=1))
    place.until(lambda: "went back" in place.message(), "it was tried once more")
    assert "Switching" in place.ever()
    assert place.ids() == before
    place.settle(place.release({"db": TWO, "web": WELL | {"depends_on": {"db": {}}}}))
    assert place.conditions() == {"Healthy": ""}
    assert not before.items() & place.ids().items()


def test_a_release_that_is_known_to_be_bad_makes_no_container(place: Islet, caplog: pytest.LogCaptureFixture) -> None:
    place.settle(place.release({"web": {}}))
    place.want(place.release({"web": SICK}))
    place.until(lambda: "went back" in place.message(), "the app went back")
    caplog.set_level("INFO")
    caplog.clear()
    place.want(place.release({"web": SICK}))
    place.until(lambda: place.state() == "failed", "it is known to be bad")
    assert steps(caplog, "create", "start", "stop") == []


def test_an_update_that_fails_stands_still_where_its_file_says_pause(place: Islet) -> None:
    update = QUICK | {"failure_action": "pause"}
    place.settle(place.release({"web": {"replicas": 2, "update": update}}))
    before = place.ids()
    place.want(place.release({"web": {"replicas": 2, "update": update} | SICK}))
    place.until(lambda: "Paused" in place.conditions(), "the update stands still")
    after = place.ids()
    assert [slot for slot in ("web", "web.2") if after[slot] == before[slot]] == ["web.2"]
    assert place.state() == "failed"


def test_an_update_that_fails_goes_on_where_its_file_says_continue(place: Islet) -> None:
    update = QUICK | {"failure_action": "continue"}
    place.settle(place.release({"web": {"update": update}, "db": {}}))
    before = place.ids()
    place.settle(place.release({"web": {"update": update} | SICK, "db": TWO}), "degraded")
    assert place.conditions() == {"Degraded": "unhealthy"}
    assert not before.items() & place.ids().items()


@pytest.mark.parametrize(("share", "state"), [(400_000, "degraded"), (200_000, "failed")])
def test_so_many_replicas_may_fail_as_the_file_says(place: Islet, share: int, state: str) -> None:
    update = QUICK | {"max_failure_ppm": share, "parallelism": 3}
    first = "/bin/busybox mkdir /data/first && /bin/busybox touch /sick"  # only one of them can make it
    web: dict[str, Any] = {
        "replicas": 3,
        "update": update,
        "command": [*SH, f"{first}; trap 'exit 0' TERM; while :; do /bin/busybox sleep 0.05; done"],
        "mounts": [{"type": "volume", "source": "data", "target": "/data"}],
        "healthcheck": {"test": ["CMD", "/bin/busybox", "test", "!", "-e", "/sick"]} | CHECK,
    }
    place.settle(place.release({"web": {"replicas": 3}}))
    place.settle(place.release({"web": web}, volumes={"data": {}}), state)
    assert ("RolledBack" in place.conditions()) == (state == "failed")


def test_the_way_back_is_gone_as_rollback_config_says(place: Islet, caplog: pytest.LogCaptureFixture) -> None:
    rollback = QUICK | {"order": "start-first"}
    caplog.set_level("INFO")
    place.settle(place.release({"web": {"rollback": rollback}}))
    caplog.clear()
    place.want(place.release({"web": {"rollback": rollback} | SICK}))
    place.until(lambda: "went back" in place.message(), "the app went back")
    # The way there is stop-first, the way back is not.
    assert steps(caplog, "start", "stop") == ["stop", "start", "start", "stop"]


def test_a_failed_hook_puts_the_release_back_that_worked(place: Islet) -> None:
    place.settle(place.release({"web": {}}))
    before = place.ids()
    hooks = {"post_start": [{"command": [*SH, "echo no sail; exit 3"]}]}
    place.want(place.release({"web": hooks}, image="two"))
    place.until(lambda: "went back" in place.message(), "the container that worked is back")
    assert place.ids() == before
    assert "ended with code 3: no sail" in place.message()


def test_what_runs_is_asked_to_end_after_its_hook_and_is_killed_after_its_grace(place: Islet) -> None:
    say = "/bin/busybox date +%s >/data"
    data = {"mounts": [{"type": "volume", "source": "data", "target": "/data"}]}
    stubborn = [*SH, f"trap '{say}/asked' TERM; while :; do /bin/busybox sleep 0.05; done"]
    hooks = {"pre_stop": [{"command": [*SH, f"{say}/hook; /bin/busybox sleep 1"]}]}
    volumes: dict[str, Any] = {"volumes": {"data": {}}}
    place.settle(place.release({"web": data | hooks | {"command": stubborn, "stop_grace_ms": 2000}}, **volumes))
    place.settle(place.release({"web": data}, **volumes))
    hook, asked = (int(place.inside("web", f"/bin/busybox cat /data/{name}")) for name in ("hook", "asked"))
    assert hook < asked


def test_who_depends_on_a_task_starts_once_it_has_ended_well_and_never_after_it_failed(place: Islet) -> None:
    def release(code: int) -> Any:
        task = {"command": [*SH, f"/bin/busybox sleep 0.3; exit {code}"], "restart": {"policy": "no"}}
        after = {"depends_on": {"task": {"condition": "service_completed_successfully"}}}
        return place.release({"task": task, "web": after | {"environment": {"CODE": str(code)}}})

    place.settle(release(0))
    before = place.all_ids()
    assert sorted(place.containers()) == ["web"]
    place.want(release(7))
    place.until(lambda: "went back" in place.message(), "the app went back")
    assert "service task is exited with code 7" in place.message()
    assert place.ids()["web"] in before


def test_a_changed_config_or_secret_replaces_only_who_uses_it(place: Islet) -> None:
    def release(config: str, secret: str) -> Any:
        return place.release(
            {
                "alone": {},
                "open": {"configs": [{"source": "c", "target": "/c"}]},
                "shut": {"secrets": [{"source": "s", "target": "/run/secrets/s"}]},
            },
            in_spec={"configs": {"c": {"content": config}}},
            secrets={"s": sealed("s", secret.encode(), version=int(secret))},
        )

    def changed(to: Any) -> list[str]:
        before = place.ids()
        place.settle(to)
        return sorted(slot for slot, container in place.ids().items() if before[slot] != container)

    place.settle(release("1", "1"))
    assert changed(release("2", "1")) == ["open"]
    assert changed(release("2", "2")) == ["shut"]
    assert place.inside("open", "/bin/busybox cat /c") == "2"
    assert place.inside("shut", "/bin/busybox cat /run/secrets/s") == "2"


def test_a_changed_label_replaces_only_the_container_that_has_it(place: Islet) -> None:
    place.settle(place.release({"db": {}, "web": {"labels": {"team": "one"}}}))
    before = place.ids()
    place.settle(place.release({"db": {}, "web": {"labels": {"team": "two"}}}))
    assert place.ids()["db"] == before["db"]
    assert place.ids()["web"] != before["web"]


def test_a_changed_restart_policy_leaves_the_container_where_the_engine_can(place: Islet) -> None:
    place.settle(place.release({"web": {}}))
    before = place.ids()
    place.settle(place.release({"web": {"restart": {"policy": "always"}}}))
    assert (place.ids() == before) == (place.url is None)  # Podman makes the container anew
    with place.client() as engine:
        held = engine.inspect_container(place.ids()["web"])["HostConfig"]["RestartPolicy"]["Name"]
    assert held == "always"
