"""A real engine with an image of our own in it, and everything a test made on it removed again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import docker
import pytest
from docker.errors import DockerException, NotFound

from broker.ids import new_id
from device.engine.docker import DockerEngine
from device.engine.secret_files import Secrets, folder_in_memory
from tests.harness.apps import OPENER, busybox_tar
from tests.harness.servers import Server, accepts, free_port, program


def docker_client(url: str | None = None) -> docker.APIClient:
    """Return a client; without an engine a test skips at home and fails in CI."""
    try:
        # Podman takes half a second to tell its version, so it is not asked.
        client = docker.APIClient(url, version="1.41" if url else "auto", timeout=60)
        client.ping()
    except DockerException as error:
        message = f"no container engine answers; ./run test starts one ({error})"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return client


@contextmanager
def registry(folder: Path) -> Iterator[str]:
    """Run a registry without authentication; yield its address."""
    port = free_port()
    config = folder / "registry.yml"
    config.write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder}/images}}, delete: {{enabled: true}}}}\n"
        f"http: {{addr: 127.0.0.1:{port}}}\n"
    )
    server = Server(
        [program("docker-registry"), "serve", str(config)],
        log=folder / "registry.log",
        ready=lambda: accepts(port),
    )
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop()


def push_image(
    client: docker.APIClient, address: str, repository: str, content: bytes, *, changes: Sequence[str] = ()
) -> str:
    """Import, push and forget an image; return `address/repository@digest`. `changes` are lines of a Dockerfile."""
    name = f"{address}/{repository}"
    client.import_image_from_data(busybox_tar({"content": content}), repository=name, tag="test", changes=list(changes))
    digest = ""
    for event in client.push(name, tag="test", stream=True, decode=True, auth_config={"registrytoken": "none"}):
        assert "error" not in event, event
        digest = event.get("aux", {}).get("Digest", digest)
    client.remove_image(f"{name}:test", force=True)
    return f"{name}@{digest}"


@contextmanager
def device_engine(url: str | None = None) -> Iterator[DockerEngine]:
    """Yield an engine for a device nobody else has; remove what it made."""
    docker_client(url).close()
    with TemporaryDirectory(prefix="skerry-files-") as files:
        device = new_id("d")
        memory = folder_in_memory(device)
        engine = DockerEngine(device=device, url=url, files=Path(files), secrets=Secrets(OPENER, memory))
        try:
            yield engine
        finally:
            remove_everything(engine)
            engine.close()
            if memory is not None:
                shutil.rmtree(memory, ignore_errors=True)


def remove_everything(engine: DockerEngine) -> None:
    seen = engine.observe()
    for container in seen.containers:
        engine.remove(container.id)
    for network in seen.networks:
        engine.remove_network(network)
    for volume in sorted(seen.volumes):
        engine.remove_volume(volume)


def remove_images(client: docker.APIClient, address: str) -> None:
    """Remove every image that came from or went to one registry."""
    for image in client.images():
        for name in [*(image.get("RepoTags") or []), *(image.get("RepoDigests") or [])]:
            if name.startswith(f"{address}/"):
                try:
                    client.remove_image(name, force=True, noprune=True)
                except NotFound:
                    continue
