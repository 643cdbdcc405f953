"""What the contract tests of engines work on: an engine of any kind, with an image that can be pulled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest

from broker.appspec import Healthcheck
from broker.ids import new_id
from broker.policy import Policy
from device.engine.docker import DockerEngine
from device.engine.memory import API, MemoryEngine
from device.engine.port import Container, Engine, WantedContainer
from device.reconcile.wanted import Place, Wanted, wanted
from tests.harness.apps import section, service
from tests.harness.engine import device_engine, docker_client

REPOSITORY = "oaaaaaaaaaaa/aaaaaaaaaaaa/web"
CHECK_LINE = 'HEALTHCHECK --interval=1s CMD ["/bin/busybox", "true"]'
CHECK = Healthcheck(test=("CMD", "/bin/busybox", "true"), interval_ms=1000)
OWNER = Policy(allow_bind_prefixes=("/tmp",))
SH = ["/bin/busybox", "sh", "-c"]
SLEEP = [*SH, "trap 'exit 0' TERM; echo begun; while :; do /bin/busybox sleep 0.1; done"]
REAL = ("docker", "podman")
KINDS = ("memory", *REAL)

Keys = Mapping[str, Any]


@dataclass(frozen=True)
class Images:
    """The images of a run's registry, as a device names them."""

    plain: str
    checked: str  # has a health check of its own


@dataclass
class Bench:
    """An engine, one of the images, and names that no other test or run has: engines are shared."""

    kind: str
    engine: Engine
    image: str
    device: str
    instance: str
    url: str | None = None
    client: docker.APIClient | None = None

    @property
    def memory(self) -> MemoryEngine | None:
        return self.engine if isinstance(self.engine, MemoryEngine) else None

    @property
    def api(self) -> str:
        return API if self.client is None else str(self.client.api_version)

    @property
    def place(self) -> Place:
        return Place(device=self.device, registry=self.image.partition("/")[0], intake={}, policy=OWNER)

    @property
    def files(self) -> Path:
        """Where the configs of this engine's containers lie."""
        assert isinstance(self.engine, DockerEngine)
        assert self.engine.files.folder is not None
        return self.engine.files.folder

    @property
    def secrets(self) -> Path:
        """Where the opened secrets of this engine's containers lie."""
        assert isinstance(self.engine, DockerEngine)
        assert self.engine.secret_files.folder is not None
        return self.engine.secret_files.folder

    def name(self, resource: str) -> str:
        return f"hello.{self.instance}.{resource}"

    def app(self, services: Mapping[str, Keys], **top: Any) -> Wanted:
        """Return an app of these services; they sleep unless told otherwise."""
        digest = self.image.partition("@")[2]
        made = {name: service(digest=digest) | {"command": SLEEP} | dict(keys) for name, keys in services.items()}
        return wanted(section(made, instance=self.instance, **top), self.place)

    def web(self, **keys: Any) -> Wanted:
        """Return an app with one service on one network."""
        return self.app({"web": {"networks": {"default": {}}} | keys}, networks={"default": {}}, volumes={"data": {}})

    def pull(self) -> None:
        if self.engine.has_image(self.image):  # engines are shared
            return
        self.engine.pull(self.image, token="none", progress=lambda done, total: None)

    def up(self, app: Wanted) -> WantedContainer:
        """Pull and create everything of an app; return its service `web`."""
        self.pull()
        for network in app.networks:
            self.engine.create_network(network)
        for volume in app.volumes:
            self.engine.create_volume(volume)
        for name in sorted(app.containers, reverse=True, key=lambda name: name != "web"):
            self.engine.create(app.containers[name])
        return app.containers["web"]

    def run(self, **keys: Any) -> Container:
        """Create and start the service `web`; return its container."""
        self.up(self.web(**keys))
        (made,) = self.engine.containers()
        self.engine.start(made.id)
        return self.engine.containers()[0]

    def disconnect(self, service: str, network: str) -> None:
        """Take a running container off a network, as a person does by hand."""
        if self.memory is not None:
            self.memory.disconnect(service, self.name(network))
        else:
            assert self.client is not None
            self.client.disconnect_container_from_network(self.name(service), self.name(network), force=True)

    def only(self) -> Container:
        (seen,) = self.engine.containers()
        return seen

    def seen(self, service: str = "web") -> Any:
        """Return what the engine says when a container is inspected."""
        assert self.client is not None
        return self.client.inspect_container(self.name(service))


@contextmanager
def bench_of(kind: str, request: pytest.FixtureRequest, image: str = "plain") -> Iterator[Bench]:
    if kind == "memory":
        yield _in_memory(image)
        return
    url = request.getfixturevalue("podman") if kind == "podman" else None
    name = getattr(request.getfixturevalue("engine_images"), image)
    client = docker_client(url)
    with device_engine(url) as engine:
        yield Bench(kind, engine, name, engine._device, new_id("i"), url, client)
    client.close()


def _in_memory(image: str) -> Bench:
    name = f"127.0.0.1:5000/{REPOSITORY}@sha256:{'1' * 64}"
    engine = MemoryEngine()
    engine.registry.add(name)
    if image == "checked":
        engine.image_checks[name] = CHECK
    return Bench("memory", engine, name, "daaaaaaaaaaa", new_id("i"))
