"""What the adapter does for Podman that Docker does by itself: health in time, and rest for crash loops."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from broker.appspec import Hook
from device.engine.docker import DockerEngine
from device.engine.port import EngineRefused
from tests.harness.engine_bench import SH, Bench, bench_of
from tests.harness.servers import wait_until

CHECK = {"interval_ms": 200, "timeout_ms": 2000, "retries": 2}


@pytest.fixture
def on_podman(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with bench_of("podman", request) as made:
        yield made


def checked_by(script: str, **more: object) -> dict[str, object]:
    return {"healthcheck": {"test": ["CMD", *SH, f"PATH=/bin; {script}"]} | CHECK | more}


def test_a_service_becomes_healthy_and_unhealthy_and_healthy_again(on_podman: Bench) -> None:
    made = on_podman.run(**checked_by("busybox test ! -e /sick"))
    assert made.health == "starting"
    wait_until(lambda: on_podman.only().health == "healthy", what="it is healthy")
    assert on_podman.client is not None
    for command, health in (("busybox touch /sick", "unhealthy"), ("busybox rm /sick", "healthy")):
        inside = on_podman.client.exec_create(made.id, [*SH, f"PATH=/bin; {command}"])
        on_podman.client.exec_start(inside["Id"])
        wait_until(lambda wanted=health: on_podman.only().health == wanted, what=f"it is {health}")  # type: ignore[misc]


def test_a_change_of_health_wakes_who_waits_for_events(on_podman: Bench) -> None:
    on_podman.run(**checked_by("busybox true", interval_ms=1500))
    while on_podman.engine.wait_for_event(0.3):  # what its start brought
        pass
    assert on_podman.only().health == "starting"
    assert on_podman.engine.wait_for_event(10.0)
    assert on_podman.only().health == "healthy"


def test_a_probe_that_hangs_counts_as_failed_and_has_no_company(on_podman: Bench) -> None:
    made = on_podman.run(**checked_by("busybox sleep 300", timeout_ms=300))
    wait_until(lambda: on_podman.only().health == "unhealthy", what="it is unhealthy")
    count = Hook(command=(*SH, "PATH=/bin; busybox ps -o args | busybox grep -c '^busybox sleep 300'"))
    assert on_podman.engine.run_hook(made.id, count, timeout_s=10).output.strip() == "1"


def test_failures_while_it_starts_do_not_count(on_podman: Bench) -> None:
    script = "if busybox test -e /tries; then exit 0; fi; echo x > /tries; exit 1"
    on_podman.run(**checked_by(script, retries=1, start_period_ms=60_000, start_interval_ms=100, interval_ms=60_000))
    seen = []
    wait_until(lambda: seen.append(on_podman.only().health) or seen[-1] == "healthy", what="it is healthy")  # type: ignore[func-returns-value]
    assert "unhealthy" not in seen


def test_a_restarted_container_has_to_become_healthy_anew(on_podman: Bench) -> None:
    made = on_podman.run(**checked_by("busybox true", interval_ms=500))
    wait_until(lambda: on_podman.only().health == "healthy", what="it is healthy")
    on_podman.engine.stop(made.id, grace_s=0)
    assert on_podman.only().health == "none"
    on_podman.engine.start(made.id)
    assert on_podman.only().health == "starting"


def test_another_worker_finds_the_health_of_what_runs_already(on_podman: Bench) -> None:
    on_podman.run(**checked_by("busybox true", interval_ms=300))
    later = DockerEngine(device=on_podman.device, url=on_podman.url)
    later.wait_for_event(0.01)
    wait_until(lambda: later.containers()[0].health == "healthy", what="it is healthy")
    later.close()


def is_held(bench: Bench) -> bool:
    """Return whether a container is shown as restarting that Podman itself has done with."""
    return bench.only().state == "restarting" and bench.seen()["State"]["Status"] == "exited"


def test_a_crash_loop_rests_between_its_restarts_and_tells_all_of_them(on_podman: Bench) -> None:
    made = on_podman.run(command=[*SH, "exit 3"], restart={"policy": "always"})
    wait_until(lambda: is_held(on_podman), what="it is held back")
    wait_until(
        lambda: (on_podman.only().exit_code, on_podman.engine.details(made.id).exit_code) == (3, 3),
        what="its exit code is told while it is",  # it may just be running again for a moment
    )
    held = on_podman.engine.details(made.id)
    assert held.restarts >= 3
    wait_until(lambda: on_podman.engine.details(made.id).restarts > held.restarts, what="it was started again")
    wait_until(lambda: is_held(on_podman), what="it is held back again")
    count = on_podman.engine.details(made.id).restarts
    assert count < held.restarts + 20  # and not as often as Podman could: ten a second, for as long as it was held


def test_a_container_that_is_held_back_is_stopped_and_removed_like_any_other(on_podman: Bench) -> None:
    made = on_podman.run(command=[*SH, "exit 3"], restart={"policy": "always"})
    wait_until(lambda: is_held(on_podman), what="it is held back")
    on_podman.engine.stop(made.id, grace_s=1)
    assert on_podman.only().state == "exited"
    on_podman.engine.remove(made.id)
    assert on_podman.engine.containers() == ()


def test_a_policy_that_gives_up_gives_up(on_podman: Bench) -> None:
    made = on_podman.run(command=[*SH, "exit 3"], restart={"policy": "on-failure", "retries": 4})
    wait_until(
        lambda: on_podman.only().state == "exited" and on_podman.engine.details(made.id).restarts >= 4,
        what="it has had its retries",
    )
    # Podman counts a try again when its clean-up meets the restart: 5 and 6 were seen for 4.
    assert on_podman.engine.details(made.id).restarts <= 8


def test_a_network_that_is_in_use_is_not_removed(real: Bench) -> None:
    real.run()
    (networks, _) = real.engine.resources()
    with pytest.raises(EngineRefused):
        real.engine.remove_network(networks[0])
    assert real.engine.resources()[0] == networks


def test_the_host_interface_of_a_network_is_told(real: Bench) -> None:
    real.run()
    (networks, _) = real.engine.resources()
    assert real.engine.bridge_of(networks[0].name) in psutil.net_if_addrs()
    assert real.engine.bridge_of("nowhere") is None


def test_the_bridge_of_a_network_keeps_its_hardware_address_when_a_container_leaves_it(on_podman: Bench) -> None:
    app = on_podman.app(
        {name: {"networks": {"default": {}}} for name in ("web", "a", "b", "c")}, networks={"default": {}}
    )
    on_podman.up(app)
    assert isinstance(on_podman.engine, DockerEngine)
    containers = {each.service: each.id for each in on_podman.engine.containers()}
    for container in containers.values():
        on_podman.engine.start(container)
    bridge = Path("/sys/class/net", on_podman.engine.bridge_of(app.networks[0].name) or "")
    address = (bridge / "address").read_text()
    assert (bridge / "addr_assign_type").read_text().strip() == "3"  # set on purpose, not taken from a member
    for service in ("a", "b", "c"):
        on_podman.engine.remove(containers[service])
        assert (bridge / "address").read_text() == address


def test_a_task_that_is_tried_again_is_not_shown_as_ended_before_its_last_try(on_podman: Bench) -> None:
    script = "/bin/busybox sleep 0.2; exit 4"
    made = on_podman.run(command=[*SH, script], restart={"policy": "on-failure", "retries": 2})
    shown: list[tuple[str, int | None]] = []

    def has_ended() -> bool:
        one = on_podman.only()
        shown.append((one.state, one.exit_code))
        return one.state == "exited"

    wait_until(has_ended, what="it has ended")
    assert on_podman.engine.details(made.id).restarts == 2
    assert shown[-1] == ("exited", 4)
    assert {state for state, _ in shown} <= {"running", "restarting", "exited"}


def test_what_is_stopped_between_two_tries_is_not_started_again_by_podman(on_podman: Bench) -> None:
    made = on_podman.run(command=[*SH, "exit 3"], restart={"policy": "always"})
    on_podman.engine.stop(made.id, grace_s=1)
    stopped = on_podman.seen()
    assert stopped["State"]["Status"] == "exited"
    on_podman.engine.stop(made.id, grace_s=1)
    assert on_podman.seen()["RestartCount"] == stopped["RestartCount"]
