"""What an owner allowed outside of the app reaches the engine; where a path really leads elsewhere, nothing is made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.errors import NotFound

from broker.ids import new_id
from broker.policy import Policy
from device.engine.docker import DockerEngine
from device.engine.port import EngineRefused
from device.reconcile.wanted import Place, Wanted, wanted
from tests.harness.apps import section, service
from tests.harness.engine import device_engine, docker_client, push_image, registry, remove_images

REPOSITORY = "oaaaaaaaaaaa/aaaaaaaaaaaa/outside"
SLEEP = ["/bin/busybox", "sleep", "60"]


@dataclass(frozen=True)
class Outside:
    """An engine, an image in it, and things of nobody's app, all with one name."""

    engine: DockerEngine
    client: docker.APIClient
    image: str
    name: str

    def app(self, keys: dict[str, Any], *, policy: Policy | None = None, **top: Any) -> Wanted:
        address, _, rest = self.image.partition("/")
        web = service("outside", digest=rest.partition("@")[2]) | {"command": SLEEP} | keys
        made = section({"web": web}, instance=new_id("i"), **top)
        return wanted(made, Place(self.engine._device, address, {}, policy=policy or Policy()))

    def seen(self, app: Wanted) -> Any:
        for network in app.networks:
            self.engine.create_network(network)
        for volume in app.volumes:
            self.engine.create_volume(volume)
        self.engine.create(app.containers["web"])
        (made,) = self.engine.observe().containers
        return self.client.inspect_container(made.id)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    client = docker_client()
    with registry(tmp_path_factory.mktemp("registry")) as address:
        yield push_image(client, address, REPOSITORY, b"outside")
        remove_images(client, address)
    client.close()


@pytest.fixture
def outside(image: str) -> Iterator[Outside]:
    client, name = docker_client(), "skerry-test-" + new_id("x")
    with device_engine() as engine:
        engine.pull(image, token="none", progress=lambda done, total: None)
        client.create_network(name)
        client.create_volume(name)
        other = client.create_container(image, command=SLEEP, name=name, host_config={"IpcMode": "shareable"})["Id"]
        client.start(other)
        yield Outside(engine, client, image, name)
    client.remove_container(other, force=True, v=True)
    client.remove_network(name)
    client.remove_volume(name)
    client.close()


def test_an_external_network_is_joined_and_never_made_nor_removed(outside: Outside) -> None:
    app = outside.app({"networks": {"lan": {"aliases": ["pump"]}}}, networks={"lan": {"external": outside.name}})
    assert app.networks == ()
    joined = outside.seen(app)["NetworkSettings"]["Networks"]
    assert list(joined) == [outside.name]
    assert {"web", "pump"} <= set(joined[outside.name]["Aliases"])
    assert outside.engine.observe().networks == ()


def test_an_external_volume_is_mounted_and_never_made(outside: Outside) -> None:
    mount = {"type": "volume", "target": "/m", "source": "nas"}
    app = outside.app({"mounts": [mount]}, volumes={"nas": {"external": outside.name}})
    assert app.volumes == ()
    assert outside.seen(app)["HostConfig"]["Mounts"][0]["Source"] == outside.name
    assert outside.engine.observe().volumes == frozenset()


def test_an_external_network_that_is_not_there_is_refused(outside: Outside) -> None:
    app = outside.app({"networks": {"lan": {}}}, networks={"lan": {"external": outside.name + "-gone"}})
    with pytest.raises(EngineRefused):  # noqa: PT012 - this engine notices when it starts
        outside.seen(app)
        outside.engine.start(outside.engine.observe().containers[0].id)


@pytest.mark.parametrize(("key", "shown"), [("network_mode", "NetworkMode"), ("pid", "PidMode"), ("ipc", "IpcMode")])
def test_the_namespace_of_another_container_is_joined(outside: Outside, key: str, shown: str) -> None:
    other = outside.client.inspect_container(outside.name)["Id"]
    seen = outside.seen(outside.app({key: f"container:{outside.name}"}))["HostConfig"][shown]
    assert seen in (f"container:{outside.name}", f"container:{other}")


def test_the_volumes_of_another_container_are_lent(outside: Outside) -> None:
    seen = outside.seen(outside.app({"volumes_from": [f"container:{outside.name}:ro"]}))
    assert seen["HostConfig"]["VolumesFrom"] == [f"{outside.name}:ro"]


@pytest.mark.parametrize("driver", ["macvlan", "ipvlan"])
def test_the_driver_of_a_network_reaches_the_engine(outside: Outside, driver: str) -> None:
    (network,) = outside.app({}, networks={"quay": {"driver": driver, "internal": True}}).networks
    try:
        outside.engine.create_network(network)
        seen = outside.client.inspect_network(network.name)["Driver"]
    except EngineRefused as error:
        seen = str(error)
    # A kernel without this driver says so; a bridge would have been made.
    assert seen in (driver, "operation not supported")


def test_a_link_out_of_the_allowed_folders_is_noticed_before_anything_is_made(outside: Outside, tmp_path: Path) -> None:
    policy = Policy(allow_bind_prefixes=(str(tmp_path),))
    (tmp_path / "way").symlink_to("/etc")
    for source in (tmp_path / "way", tmp_path / "way" / "skerry-test-made"):
        bound = {"mounts": [{"type": "bind", "target": "/m", "source": str(source)}]}
        with pytest.raises(EngineRefused, match=r"leads to /etc.*which is not allowed \(policy.allow_bind_prefixes\)"):
            outside.seen(outside.app(bound, policy=policy))
    assert not Path("/etc/skerry-test-made").exists()
    assert outside.engine.observe().containers == ()


def test_a_volume_that_is_a_link_out_of_the_allowed_folders_is_not_made(outside: Outside, tmp_path: Path) -> None:
    policy = Policy(allow_bind_prefixes=(str(tmp_path),))
    (tmp_path / "way").symlink_to("/etc")
    options = {"type": "none", "o": "bind", "device": str(tmp_path / "way")}
    with pytest.raises(EngineRefused, match="leads to /etc, which is not allowed"):
        outside.seen(outside.app({}, policy=policy, volumes={"data": {"options": options}}))
    assert outside.engine.observe().volumes == frozenset()


def test_a_folder_that_the_owner_allowed_by_a_link_of_his_own_is_mounted(outside: Outside, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "data").symlink_to("disk")
    source = str(tmp_path / "data" / "new")
    bound = {"mounts": [{"type": "bind", "target": "/m", "source": source}]}
    seen = outside.seen(outside.app(bound, policy=Policy(allow_bind_prefixes=(str(tmp_path / "data"),))))
    assert seen["HostConfig"]["Mounts"][0]["Source"] == source
    assert (tmp_path / "disk" / "new").is_dir()


def test_what_was_there_before_is_there_afterwards(outside: Outside) -> None:
    outside.seen(outside.app({"networks": {"lan": {}}}, networks={"lan": {"external": outside.name}}))
    for container in outside.engine.observe().containers:
        outside.engine.remove(container.id)
    for look in (outside.client.inspect_network, outside.client.inspect_volume, outside.client.inspect_container):
        try:
            look(outside.name)
        except NotFound:
            pytest.fail(f"{outside.name} is gone")
