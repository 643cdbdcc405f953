"""One body over every engine: the memory one and a real Docker with images from a real registry."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from device.engine.docker import DockerEngine
from device.engine.memory import MemoryEngine
from device.engine.port import Engine, EngineRefused, WantedContainer
from device.reconcile.wanted import Place, Wanted, wanted
from tests.harness.apps import section, service
from tests.harness.engine import device_engine, docker_client, push_image, registry, remove_images
from tests.harness.servers import wait_until

REPOSITORY = "oaaaaaaaaaaa/aaaaaaaaaaaa/web"
SLEEP = ["/bin/busybox", "sh", "-c", "trap 'exit 0' TERM; echo begun; while :; do /bin/busybox sleep 0.1; done"]


class Bench:
    """An engine with one image that can be pulled."""

    def __init__(self, engine: Engine, image: str, device: str) -> None:
        self.engine = engine
        self.image = image
        self.device = device
        self.registry, _, rest = image.partition("/")
        self.digest = rest.partition("@")[2]

    def app(self, **keys: object) -> Wanted:
        spec: dict[str, object] = {"command": SLEEP, "networks": {"default": {}}}
        made = section(
            {"web": service(digest=self.digest) | spec | keys}, networks={"default": {}}, volumes={"data": {}}
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


@pytest.fixture(scope="module")
def pushed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    client = docker_client()
    with registry(tmp_path_factory.mktemp("registry")) as address:
        yield push_image(client, address, REPOSITORY, b"one")
        remove_images(client, address)
    client.close()


@pytest.fixture(params=["memory", "docker"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    if request.param == "memory":
        image = f"127.0.0.1:5000/{REPOSITORY}@sha256:{'1' * 64}"
        memory = MemoryEngine()
        memory.registry.add(image)
        yield Bench(memory, image, "daaaaaaaaaaa")
        return
    image = request.getfixturevalue("pushed")
    with device_engine() as engine:
        yield Bench(engine, image, engine._device)


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
