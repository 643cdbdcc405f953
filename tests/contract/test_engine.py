"""One body over every engine: the memory one, a real Docker and a real Podman, with images from a real registry."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import urllib3

from broker.appspec import Hook, Restart
from device.engine.docker import DockerEngine
from device.engine.labels import INDEX
from device.engine.port import Details, EngineRefused, EngineUnavailable, HookResult, Observed
from tests.harness.engine import device_engine
from tests.harness.engine_bench import CHECK, SH, Bench
from tests.harness.servers import wait_until


def test_an_empty_engine_shows_nothing(every: Bench) -> None:
    seen = every.engine.observe()
    assert (seen.containers, seen.networks, seen.volumes) == ((), (), frozenset())


def test_a_pulled_image_is_there_by_its_digest(every: Bench) -> None:
    every.engine.pull(every.image, token="none", progress=lambda done, total: None)
    assert every.engine.has_image(every.image)
    assert not every.engine.has_image(every.image[:-1] + ("0" if every.image[-1] != "0" else "1"))


def test_pulling_what_the_registry_does_not_have_is_refused_by_name(every: Bench) -> None:
    missing = every.image.replace("/web@", "/nothing@")
    with pytest.raises(EngineRefused, match="nothing"):
        every.engine.pull(missing, token="none", progress=lambda done, total: None)


def test_a_created_container_is_seen_with_its_identity_and_is_not_running(every: Bench) -> None:
    want = every.up(every.web())
    (seen,) = every.engine.observe().containers
    assert (seen.instance, seen.service, seen.hash, seen.state) == (want.instance, "web", want.hash, "created")
    assert seen.release == want.release


def test_a_started_container_runs_until_it_is_stopped(every: Bench) -> None:
    every.up(every.web())
    (seen,) = every.engine.observe().containers
    every.engine.start(seen.id)
    assert every.engine.observe().containers[0].state == "running"
    every.engine.stop(seen.id, grace_s=5)
    stopped = every.engine.observe().containers[0]
    assert stopped.state == "exited"
    assert stopped.exit_code is not None


def test_networks_and_volumes_are_seen_and_volumes_outlive_containers(every: Bench) -> None:
    app = every.web(mounts=[{"type": "volume", "source": "data", "target": "/data"}])
    every.up(app)
    (container,) = every.engine.observe().containers
    every.engine.remove(container.id)
    seen = every.engine.observe()
    assert [network.hash for network in seen.networks] == [app.networks[0].hash]
    assert seen.volumes == {app.volumes[0].name}
    assert seen.containers == ()


def test_a_name_in_use_is_refused(every: Bench) -> None:
    want = every.up(every.web())
    with pytest.raises(EngineRefused):
        every.engine.create(want)


def test_a_container_on_a_network_that_is_missing_is_refused_and_leaves_nothing_running(every: Bench) -> None:
    every.pull()
    want = replace(every.web().containers["web"], networks={"nowhere": ("web",)}, addresses={"nowhere": ("", "")})
    with pytest.raises(EngineRefused):  # noqa: PT012 - some engines notice when it starts
        every.engine.create(want)
        every.engine.start(every.engine.observe().containers[0].id)
    assert all(container.state != "running" for container in every.engine.observe().containers)


def test_removing_what_is_gone_is_fine(every: Bench) -> None:
    every.up(every.web())
    (container,) = every.engine.observe().containers
    every.engine.remove(container.id)
    every.engine.remove(container.id)
    every.engine.stop(container.id, grace_s=1)
    assert every.engine.observe().containers == ()


def test_a_network_is_removed_once_nothing_runs_on_it(every: Bench) -> None:
    every.up(every.web())
    seen = every.engine.observe()
    every.engine.remove(seen.containers[0].id)
    every.engine.remove_network(seen.networks[0])
    assert every.engine.observe().networks == ()


def test_a_change_wakes_who_waits_for_events(every: Bench) -> None:
    every.engine.wait_for_event(0.01)
    every.up(every.web())
    assert every.engine.wait_for_event(10.0)


def test_a_network_that_a_container_is_taken_off_is_told_by_an_event_and_by_the_list(every: Bench) -> None:
    both: dict[str, Any] = {"front": {}, "back": {}}
    every.up(every.app({"web": {"networks": both}}, networks=both))
    every.engine.start(every.only().id)
    front, back = every.name("front"), every.name("back")
    assert every.only().networks == frozenset({front, back})
    while every.engine.wait_for_event(0.5):  # what its start brought
        pass
    every.disconnect("web", "front")
    assert every.engine.wait_for_event(10.0)
    assert every.only().networks == frozenset({back})


def test_the_list_of_containers_alone_says_what_the_snapshot_says(every: Bench) -> None:
    every.up(every.web())
    seen = every.engine.observe()
    assert every.engine.containers() == seen.containers
    assert every.engine.resources() == (seen.networks, seen.volumes)


def test_looking_again_costs_one_call(real: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    real.run(healthcheck={"test": ["CMD", "/bin/busybox", "true"], "interval_ms": 60_000})
    real.engine.containers()
    asked: list[object] = []
    urlopen = urllib3.HTTPConnectionPool.urlopen

    def counted(pool: urllib3.HTTPConnectionPool, method: str, url: str, **how: Any) -> urllib3.BaseHTTPResponse:
        asked.append(url)
        return urlopen(pool, method, url, **how)

    monkeypatch.setattr(urllib3.HTTPConnectionPool, "urlopen", counted)
    real.engine.containers()
    assert len(asked) == 1


def test_a_replica_is_seen_with_its_number(every: Bench) -> None:
    want = every.up(every.web())
    marks = dict(want.labels) | {INDEX: "3"}
    every.engine.create(replace(want, name=want.name + ".3", labels=marks))
    assert sorted(seen.index for seen in every.engine.containers()) == [1, 3]


def test_details_tell_when_a_container_started_and_how_it_ended(every: Bench) -> None:
    every.up(every.web(command=[*SH, "exit 3"], restart={"policy": "no"}))
    (made,) = every.engine.containers()
    told = every.engine.details(made.id)
    assert told == Details(None, 0, oom_killed=False, exit_code=None, state=told.state)
    every.engine.start(made.id)
    if every.memory is not None:
        every.memory.become("web", "exited", exit_code=3)
    wait_until(lambda: every.engine.containers()[0].state == "exited", what="the container has ended")
    told = every.engine.details(made.id)
    assert told.started_at_ms is not None
    assert told == Details(told.started_at_ms, 0, oom_killed=False, exit_code=3, state=told.state)
    assert told.state in ("exited", None)  # Podman's lists are the better word


def test_details_count_the_restarts_by_the_policy(every: Bench) -> None:
    every.up(every.web(command=[*SH, "exit 3"], restart={"policy": "on-failure", "retries": 2}))
    (made,) = every.engine.containers()
    every.engine.start(made.id)
    if every.memory is not None:
        every.memory.become("web", "exited", exit_code=3, restarts=2)
    wait_until(lambda: every.engine.details(made.id).restarts == 2, what="it was restarted twice")


def test_a_death_is_told_by_the_events_of_a_real_engine(real: Bench) -> None:
    deaths: list[tuple[str, int | None]] = []
    engine = DockerEngine(device=real.device, url=real.url, died=lambda *death: deaths.append(death))
    real.up(real.web(command=[*SH, "exit 3"], restart={"policy": "no"}))
    (made,) = engine.containers()
    engine.wait_for_event(0.01)
    real.engine.start(made.id)
    wait_until(lambda: deaths == [(made.id, 3)], what="the engine told of its end")
    engine.close()


def test_details_of_what_is_gone_are_refused(every: Bench) -> None:
    with pytest.raises(EngineRefused) as refused:
        every.engine.details("0" * 64)
    assert refused.value.reason == "not_found"


HOOK = Hook(
    command=(*SH, "echo $WORD; pwd; busybox id -u; echo bad >&2; exit 4"),
    user="1000",
    working_dir="/bin",
    environment={"WORD": "hi", "PATH": "/bin"},
)


def test_a_hook_runs_inside_and_tells_how_it_ended(every: Bench) -> None:
    every.up(every.web())
    (made,) = every.engine.containers()
    every.engine.start(made.id)
    if every.memory is not None:
        every.memory.hook_results[HOOK.command] = HookResult(4, "hi\n/bin\n1000\nbad\n")
    result = every.engine.run_hook(made.id, HOOK, timeout_s=30)
    assert (result.exit_code, sorted(result.output.splitlines())) == (4, ["/bin", "1000", "bad", "hi"])


def test_a_hook_that_writes_much_is_cut_and_ends(every: Bench) -> None:
    every.up(every.web())
    (made,) = every.engine.containers()
    every.engine.start(made.id)
    hook = Hook(command=(*SH, "/bin/busybox yes | /bin/busybox head -c 3000000"))
    result = every.engine.run_hook(made.id, hook, timeout_s=60)
    assert result.exit_code == 0
    assert len(result.output) <= 4096


def test_a_hook_in_a_container_that_does_not_run_is_refused(every: Bench) -> None:
    every.up(every.web())
    with pytest.raises(EngineRefused):
        every.engine.run_hook(every.engine.containers()[0].id, HOOK, timeout_s=30)


def test_a_hook_without_an_end_is_given_up(real: Bench) -> None:
    made = real.run()
    with pytest.raises(EngineRefused) as refused:
        real.engine.run_hook(made.id, Hook(command=(*SH, "while :; do echo x; done")), timeout_s=0.5)
    assert refused.value.reason == "hook_timeout"


def test_the_restart_policy_is_changed_in_place_or_refused(every: Bench) -> None:
    every.up(every.web())
    made = every.only()
    policy = Restart(policy="on-failure", retries=7)
    if every.kind == "podman":
        with pytest.raises(EngineRefused) as refused:
            every.engine.set_restart(made.id, policy)
        assert refused.value.reason == "not_supported"
        return
    every.engine.set_restart(made.id, policy)
    assert every.only() == made
    if every.memory is not None:
        assert every.memory.specs[made.id].spec.restart == policy
    else:
        assert every.seen()["HostConfig"]["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 7}


def test_an_image_without_a_check_has_none(every: Bench) -> None:
    every.pull()
    assert every.engine.image_healthcheck(every.image) is None


def test_the_check_of_an_image_is_told_with_the_engines_defaults(checked: Bench) -> None:
    checked.up(checked.web())
    assert checked.engine.image_healthcheck(checked.image) == CHECK
    (made,) = checked.engine.containers()
    checked.engine.start(made.id)
    assert checked.engine.containers()[0].health in ("starting", "healthy")


def test_health_shows_in_the_list(real: Bench) -> None:
    made = real.run(healthcheck={"test": ["CMD", "/bin/busybox", "true"], "interval_ms": 1000, "retries": 1})
    assert made.health in ("starting", "healthy")
    wait_until(lambda: real.only().health == "healthy", what="the container is healthy")


def test_an_engine_sees_only_what_is_its_own_devices(real: Bench) -> None:
    real.up(real.web())
    with device_engine(real.url) as other:
        assert other.observe() == Observed()
    assert len(real.engine.containers()) == 1


def test_an_engine_is_unavailable_when_nobody_listens() -> None:
    engine = DockerEngine(device="daaaaaaaaaaa", url="unix:///nonexistent/docker.sock")
    with pytest.raises(EngineUnavailable):
        engine.observe()
    engine.close()
