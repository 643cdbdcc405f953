"""One body over every engine: the memory one and a real Docker with images from a real registry."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from broker.appspec import Healthcheck, Hook, Restart
from broker.ids import new_id
from device.engine.docker import DockerEngine
from device.engine.labels import INDEX
from device.engine.memory import MemoryEngine
from device.engine.port import Details, Engine, EngineRefused, HookResult, WantedContainer
from device.reconcile.wanted import Place, Wanted, wanted
from tests.harness.apps import section, service
from tests.harness.engine import device_engine, docker_client, push_image, registry, remove_images
from tests.harness.servers import wait_until

REPOSITORY = "oaaaaaaaaaaa/aaaaaaaaaaaa/web"
SH = ["/bin/busybox", "sh", "-c"]
SLEEP = [*SH, "trap 'exit 0' TERM; echo begun; while :; do /bin/busybox sleep 0.1; done"]


class Bench:
    """An engine with one image that can be pulled."""

    def __init__(self, engine: Engine, image: str, device: str) -> None:
        self.engine = engine
        self.image = image
        self.device = device
        self.registry, _, rest = image.partition("/")
        self.digest = rest.partition("@")[2]
        self.instance = new_id("i")  # names on an engine are made of it, and other runs may share this engine

    def app(self, **keys: object) -> Wanted:
        spec: dict[str, object] = {"command": SLEEP, "networks": {"default": {}}}
        made = section(
            {"web": service(digest=self.digest) | spec | keys},
            networks={"default": {}},
            volumes={"data": {}},
            instance=self.instance,
        )
        return wanted(made, Place(device=self.device, registry=self.registry, intake={}))

    def up(self, app: Wanted) -> WantedContainer:
        """Pull and create everything of an app; return its only container."""
        self.engine.pull(self.image, token="none", progress=lambda done, total: None)
        for network in app.networks:
            self.engine.create_network(network)
        for volume in app.volumes:
            self.engine.create_volume(volume)
        container = app.containers["web"]
        self.engine.create(container)
        return container


CHECKED = 'HEALTHCHECK --interval=1s CMD ["/bin/busybox", "true"]'


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Images in a registry: one without anything, and one with a health check."""
    client = docker_client()
    with registry(tmp_path_factory.mktemp("registry")) as address:
        yield {
            "plain": push_image(client, address, REPOSITORY, b"one"),
            "checked": push_image(client, address, REPOSITORY, b"two", changes=[CHECKED]),
        }
        remove_images(client, address)
    client.close()


@pytest.fixture
def pushed(images: dict[str, str]) -> str:
    return images["plain"]


@contextmanager
def bench_of(engine: str, request: pytest.FixtureRequest, image: str) -> Iterator[Bench]:
    if engine == "memory":
        name = f"127.0.0.1:5000/{REPOSITORY}@sha256:{'1' * 64}"
        memory = MemoryEngine()
        memory.registry.add(name)
        if image == "checked":
            memory.image_checks[name] = Healthcheck(test=("CMD", "/bin/busybox", "true"), interval_ms=1000)
        yield Bench(memory, name, "daaaaaaaaaaa")
        return
    pushed = request.getfixturevalue("images")[image]
    with device_engine() as docker:
        yield Bench(docker, pushed, docker._device)


@pytest.fixture(params=["memory", "docker"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with bench_of(request.param, request, "plain") as made:
        yield made


@pytest.fixture(params=["memory", "docker"])
def checked(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with bench_of(request.param, request, "checked") as made:
        yield made


def test_an_empty_engine_shows_nothing(bench: Bench) -> None:
    seen = bench.engine.observe()
    assert (seen.containers, seen.networks, seen.volumes) == ((), (), frozenset())


def test_a_pulled_image_is_there_by_its_digest(bench: Bench) -> None:
    bench.engine.pull(bench.image, token="none", progress=lambda done, total: None)
    assert bench.engine.has_image(bench.image)
    assert not bench.engine.has_image(bench.image[:-1] + ("0" if bench.image[-1] != "0" else "1"))


def test_pulling_what_the_registry_does_not_have_is_refused_by_name(bench: Bench) -> None:
    missing = bench.image.replace("/web@", "/nothing@")
    with pytest.raises(EngineRefused, match="nothing"):
        bench.engine.pull(missing, token="none", progress=lambda done, total: None)


def test_a_created_container_is_seen_with_its_identity_and_is_not_running(bench: Bench) -> None:
    want = bench.up(bench.app())
    (seen,) = bench.engine.observe().containers
    assert (seen.instance, seen.service, seen.hash, seen.state) == (want.instance, "web", want.hash, "created")
    assert seen.release == want.release


def test_a_started_container_runs_until_it_is_stopped(bench: Bench) -> None:
    bench.up(bench.app())
    (seen,) = bench.engine.observe().containers
    bench.engine.start(seen.id)
    assert bench.engine.observe().containers[0].state == "running"
    bench.engine.stop(seen.id, grace_s=5)
    stopped = bench.engine.observe().containers[0]
    assert stopped.state == "exited"
    assert stopped.exit_code is not None


def test_networks_and_volumes_are_seen_and_volumes_outlive_containers(bench: Bench) -> None:
    app = bench.app(mounts=[{"type": "volume", "source": "data", "target": "/data"}])
    bench.up(app)
    (container,) = bench.engine.observe().containers
    bench.engine.remove(container.id)
    seen = bench.engine.observe()
    assert [network.hash for network in seen.networks] == [app.networks[0].hash]
    assert seen.volumes == {app.volumes[0].name}
    assert seen.containers == ()


def test_a_name_in_use_is_refused(bench: Bench) -> None:
    want = bench.up(bench.app())
    with pytest.raises(EngineRefused):
        bench.engine.create(want)


def test_a_container_on_a_network_that_is_missing_is_refused_and_leaves_nothing_running(bench: Bench) -> None:
    bench.engine.pull(bench.image, token="none", progress=lambda done, total: None)
    want = replace(bench.app().containers["web"], networks={"nowhere": ("web",)}, addresses={"nowhere": ("", "")})
    with pytest.raises(EngineRefused):  # noqa: PT012 - some engines notice when it starts
        bench.engine.create(want)
        bench.engine.start(bench.engine.observe().containers[0].id)
    assert all(container.state != "running" for container in bench.engine.observe().containers)


def test_removing_what_is_gone_is_fine(bench: Bench) -> None:
    bench.up(bench.app())
    (container,) = bench.engine.observe().containers
    bench.engine.remove(container.id)
    bench.engine.remove(container.id)
    bench.engine.stop(container.id, grace_s=1)
    assert bench.engine.observe().containers == ()


def test_a_network_is_removed_once_nothing_runs_on_it(bench: Bench) -> None:
    bench.up(bench.app())
    seen = bench.engine.observe()
    bench.engine.remove(seen.containers[0].id)
    bench.engine.remove_network(seen.networks[0])
    assert bench.engine.observe().networks == ()


def test_a_change_wakes_who_waits_for_events(bench: Bench) -> None:
    bench.engine.wait_for_event(0.01)
    bench.up(bench.app())
    assert bench.engine.wait_for_event(10.0)


def test_the_list_of_containers_alone_says_what_the_snapshot_says(bench: Bench) -> None:
    bench.up(bench.app())
    seen = bench.engine.observe()
    assert bench.engine.containers() == seen.containers
    assert bench.engine.resources() == (seen.networks, seen.volumes)


def test_a_replica_is_seen_with_its_number(bench: Bench) -> None:
    want = bench.up(bench.app())
    marks = dict(want.labels) | {INDEX: "3"}
    bench.engine.create(replace(want, name=want.name + ".3", labels=marks))
    assert sorted(seen.index for seen in bench.engine.containers()) == [1, 3]


def test_details_tell_when_a_container_started_and_how_it_ended(bench: Bench) -> None:
    bench.up(bench.app(command=[*SH, "exit 3"], restart={"policy": "no"}))
    (made,) = bench.engine.containers()
    assert bench.engine.details(made.id) == Details(None, 0, oom_killed=False, exit_code=None)
    bench.engine.start(made.id)
    if isinstance(bench.engine, MemoryEngine):
        bench.engine.become("web", "exited", exit_code=3)
    wait_until(lambda: bench.engine.containers()[0].state == "exited", what="the container has ended")
    told = bench.engine.details(made.id)
    assert told.started_at_ms is not None
    assert told == Details(told.started_at_ms, 0, oom_killed=False, exit_code=3)


def test_details_count_the_restarts_by_the_policy(bench: Bench) -> None:
    bench.up(bench.app(command=[*SH, "exit 3"], restart={"policy": "on-failure", "retries": 2}))
    (made,) = bench.engine.containers()
    bench.engine.start(made.id)
    if isinstance(bench.engine, MemoryEngine):
        bench.engine.become("web", "exited", exit_code=3, restarts=2)
    wait_until(lambda: bench.engine.details(made.id).restarts == 2, what="it was restarted twice")


def test_details_of_what_is_gone_are_refused(bench: Bench) -> None:
    with pytest.raises(EngineRefused) as refused:
        bench.engine.details("0" * 64)
    assert refused.value.reason == "not_found"


HOOK = Hook(
    command=(*SH, "echo $WORD; pwd; busybox id -u; echo bad >&2; exit 4"),
    user="1000",
    working_dir="/bin",
    environment={"WORD": "hi", "PATH": "/bin"},
)


def test_a_hook_runs_inside_and_tells_how_it_ended(bench: Bench) -> None:
    bench.up(bench.app())
    (made,) = bench.engine.containers()
    bench.engine.start(made.id)
    if isinstance(bench.engine, MemoryEngine):
        bench.engine.hook_results[HOOK.command] = HookResult(4, "hi\n/bin\n1000\nbad\n")
    result = bench.engine.run_hook(made.id, HOOK, timeout_s=30)
    assert (result.exit_code, sorted(result.output.splitlines())) == (4, ["/bin", "1000", "bad", "hi"])


def test_a_hook_that_writes_much_is_cut_and_ends(bench: Bench) -> None:
    bench.up(bench.app())
    (made,) = bench.engine.containers()
    bench.engine.start(made.id)
    hook = Hook(command=(*SH, "/bin/busybox yes | /bin/busybox head -c 3000000"))
    result = bench.engine.run_hook(made.id, hook, timeout_s=60)
    assert result.exit_code == 0
    assert len(result.output) <= 4096


def test_a_hook_in_a_container_that_does_not_run_is_refused(bench: Bench) -> None:
    bench.up(bench.app())
    with pytest.raises(EngineRefused):
        bench.engine.run_hook(bench.engine.containers()[0].id, HOOK, timeout_s=30)


def test_a_hook_without_an_end_is_given_up(pushed: str) -> None:
    with device_engine() as engine:
        bench = Bench(engine, pushed, engine._device)
        bench.up(bench.app())
        (made,) = engine.containers()
        engine.start(made.id)
        with pytest.raises(EngineRefused) as refused:
            engine.run_hook(made.id, Hook(command=(*SH, "while :; do echo x; done")), timeout_s=0.5)
        assert refused.value.reason == "hook_timeout"


def test_the_restart_policy_is_changed_in_place(bench: Bench) -> None:
    want = bench.up(bench.app())
    (made,) = bench.engine.containers()
    bench.engine.set_restart(made.id, Restart(policy="on-failure", retries=7))
    assert bench.engine.containers() == (made,)
    if isinstance(bench.engine, MemoryEngine):
        assert bench.engine.specs[made.id].spec.restart == Restart(policy="on-failure", retries=7)
        return
    client = docker_client()
    policy = client.inspect_container(want.name)["HostConfig"]["RestartPolicy"]
    client.close()
    assert policy == {"Name": "on-failure", "MaximumRetryCount": 7}


def test_an_image_without_a_check_has_none(bench: Bench) -> None:
    bench.engine.pull(bench.image, token="none", progress=lambda done, total: None)
    assert bench.engine.image_healthcheck(bench.image) is None


def test_the_check_of_an_image_is_told_with_the_engines_defaults(checked: Bench) -> None:
    checked.up(checked.app())
    check = Healthcheck(test=("CMD", "/bin/busybox", "true"), interval_ms=1000, timeout_ms=30_000, retries=3)
    assert checked.engine.image_healthcheck(checked.image) == check
    (made,) = checked.engine.containers()
    checked.engine.start(made.id)
    assert checked.engine.containers()[0].health in ("starting", "healthy")


def test_health_shows_in_the_list(pushed: str) -> None:
    with device_engine() as engine:
        bench = Bench(engine, pushed, engine._device)
        check = {"test": ["CMD", "/bin/busybox", "true"], "interval_ms": 1000, "retries": 1}
        bench.up(bench.app(healthcheck=check))
        engine.start(engine.observe().containers[0].id)
        assert engine.observe().containers[0].health in ("starting", "healthy")
        wait_until(lambda: engine.observe().containers[0].health == "healthy", what="the container is healthy")


def test_logs_are_followed_from_where_the_last_reader_stopped(pushed: str) -> None:
    with device_engine() as engine:
        bench = Bench(engine, pushed, engine._device)
        bench.up(bench.app(command=["/bin/busybox", "sh", "-c", "echo one; echo two"]))
        (container,) = engine.observe().containers
        engine.start(container.id)
        lines = list(engine.follow_logs(container.id, since_ns=0))
        assert [line.text for line in lines] == ["one", "two"]
        assert list(engine.follow_logs(container.id, since_ns=lines[0].at_ns)) == lines[1:]
        assert engine.last_lines(container.id, 1) == ["two"]


def test_an_engine_sees_only_what_is_its_own_devices(pushed: str) -> None:
    with device_engine() as engine, device_engine() as other:
        Bench(engine, pushed, engine._device).up(Bench(engine, pushed, engine._device).app())
        assert len(engine.observe().containers) == 1
        assert other.observe().containers == ()


def test_what_a_spec_asks_reaches_the_engine(pushed: str) -> None:
    with device_engine() as engine:
        bench = Bench(engine, pushed, engine._device)
        want = bench.up(
            bench.app(
                environment={"A": "b"}, user="1000", read_only=True, cap_drop=["ALL"], mem_limit=67108864,
                nano_cpus=500000000, labels={"x": "y"}, hostname="h", init=True, stop_signal="SIGINT",
                ports=[{"target": 80, "protocol": "tcp"}], restart={"policy": "on-failure", "retries": 3},
                mounts=[{"type": "tmpfs", "target": "/tmp", "tmpfs_size": 65536}],
                ulimits={"nofile": {"soft": 100, "hard": 200}}, extra_hosts={"peer": "10.0.0.1"},
            )
        )  # fmt: skip
        client = docker_client()
        found = client.inspect_container(want.name)
        client.close()
        config, host = found["Config"], found["HostConfig"]
        assert "A=b" in config["Env"]
        assert (config["User"], config["Hostname"], config["StopSignal"], config["Labels"]["x"]) == (
            "1000",
            "h",
            "SIGINT",
            "y",
        )
        assert (host["ReadonlyRootfs"], host["CapDrop"], host["Memory"], host["NanoCpus"]) == (
            True,
            ["ALL"],
            67108864,
            500000000,
        )
        assert host["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 3}
        assert host["Ulimits"] == [{"Name": "nofile", "Soft": 100, "Hard": 200}]
        assert host["ExtraHosts"] == ["peer:10.0.0.1"]
        assert host["Mounts"][0]["TmpfsOptions"]["SizeBytes"] == 65536
        assert "80/tcp" in host["PortBindings"]
        assert host["Init"] is True


def test_docker_engine_is_unavailable_when_nobody_listens() -> None:
    from device.engine.port import EngineUnavailable

    engine = DockerEngine(device="daaaaaaaaaaa", url="unix:///nonexistent/docker.sock")
    with pytest.raises(EngineUnavailable):
        engine.observe()
