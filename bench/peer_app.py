"""The app that several tools are timed on: three services in a row, a network, a volume, nothing slow in itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker

from broker.messages import AppSection
from tests.harness.apps import busybox_tar, section, service

CHAIN = ("store", "api", "web")  # each depends on the one before it
PROGRAM = "trap 'exit 0' TERM INT; while :; do /bin/busybox sleep 3600 & wait $!; done"  # leaves at once when asked
COMMAND = ["/bin/busybox", "sh", "-c", PROGRAM]
REPOSITORY = "oaaaaaaaaaaa/aaaaaaaaaaaa/peer"


@dataclass(frozen=True)
class Images:
    """`names` are for tools that run a local image by its tag, `digests` for what comes from a registry. By version."""

    names: Mapping[int, str]
    digests: Mapping[int, str]


def push_images(client: docker.APIClient, address: str) -> Images:
    """Make both versions of the one image of all services, push them, and keep them on the engine."""
    names, digests = {}, {}
    for version in (1, 2):
        name = f"{address}/{REPOSITORY}"
        client.import_image_from_data(
            busybox_tar({"version": str(version).encode()}), repository=name, tag=str(version)
        )
        for event in client.push(name, tag=str(version), stream=True, decode=True, auth_config={"registrytoken": "-"}):
            if "error" in event:
                raise OSError(event["error"])
            digests[version] = event.get("aux", {}).get("Digest", digests.get(version, ""))
        names[version] = f"{name}:{version}"
    return Images(names, digests)


def app_section(images: Images, *, instance: str, api: int) -> AppSection:
    """Return the app as a device gets it, with `api` in that version."""
    services: dict[str, Any] = {}
    for place, name in enumerate(CHAIN):
        services[name] = service(name="peer", digest=images.digests[api if name == "api" else 1]) | {
            "command": COMMAND,
            "networks": {"back": {}},
            "restart": {"policy": "unless-stopped"},
            "depends_on": {CHAIN[place - 1]: {}} if place else {},
            "mounts": [{"type": "volume", "source": "data", "target": "/data"}] if name == "store" else [],
        }
    return section(services, name="peer", instance=instance, networks={"back": {}}, volumes={"data": {}})


def write_compose(folder: Path, images: Images) -> Path:
    """Write the same app as a Compose file that old and new tools read."""
    lines = ['version: "2.4"', "services:"]
    for place, name in enumerate(CHAIN):
        image = images.names[1] if name != "api" else images.names[1].rpartition(":")[0] + ":${API_TAG:-1}"
        lines += [
            f"  {name}:",
            f"    image: {image}",
            f"    command: {_quoted(COMMAND)}",
            "    restart: unless-stopped",
            "    networks: [back]",
        ]
        lines += [f"    depends_on: [{CHAIN[place - 1]}]"] if place else ["    volumes: ['data:/data']"]
    lines += ["networks: {back: {}}", "volumes: {data: {}}", ""]
    path = folder / "compose.yml"
    path.write_text("\n".join(lines))
    return path


def _quoted(command: list[str]) -> str:
    """Return a list for YAML; a dollar sign is doubled, as Compose reads single ones as variables."""
    texts = [part.replace("'", "''").replace("$", "$$") for part in command]
    return "[" + ", ".join(f"'{text}'" for text in texts) + "]"
