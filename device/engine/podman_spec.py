"""What Podman's form of Docker's API needs to be told otherwise, to mean the same. Pure."""

from __future__ import annotations

import json
from typing import Any

from broker.appspec import Healthcheck
from device.engine import labels
from device.engine.docker_spec import docker_mount, tmpfs_options
from device.engine.port import CANNOT, BindOrVolume, EngineRefused, WantedContainer, WantedNetwork

BRIDGE_NAME = "com.docker.network.bridge.name"
BRIDGE_CHARS = 15  # what Linux allows


def adapted(config: dict[str, Any], container: WantedContainer, check: Healthcheck | None) -> dict[str, Any]:
    """Return a container's configuration for Podman. `check` is the health check with its command, if it has one."""
    config = dict(config)
    if config.get("Entrypoint") == []:
        config["Entrypoint"] = [""]  # an empty list would leave the image's own
    config.setdefault("StopTimeout", -(-container.spec.stop_grace_ms // 1000))  # left out, it is 0
    if check is not None and check.test[:1] != ("NONE",):
        config["Healthcheck"] = dict(config.get("Healthcheck") or {}) | {"Test": [_command(check.test)]}
        if check.start_interval_ms is not None:
            config["Labels"] = config["Labels"] | {labels.START_INTERVAL: str(check.start_interval_ms)}
    return config


def _command(test: tuple[str, ...]) -> str:
    """Return a health check's command as Podman takes it apart again: it splits what Docker keeps together."""
    kind, *words = test
    if kind == "CMD-SHELL":
        return f"CMD-SHELL {' '.join(words)}"
    if len(words) > 1:
        return json.dumps(words)
    if len(words) == 1 and len(words[0].split()) == 1:
        return f"CMD {words[0]}"
    raise EngineRefused(CANNOT, f"Podman cannot be told a health check whose only word is {words}")


def mounts(container: WantedContainer) -> dict[str, Any]:
    """Return a container's mounts as arguments of `create_host_config`, in the older API's words.

    Podman reads the newer one's with other defaults: mounts below a host path left out, memory with mode 0.
    """
    texts = [_text(mount) for mount in container.mounts if mount.type != "tmpfs" and mount.source]
    memory = {mount.target: tmpfs_options(mount, "notmpcopyup") for mount in container.mounts if mount.type == "tmpfs"}
    rest = [docker_mount(mount) for mount in container.mounts if mount.type == "volume" and not mount.source]
    return {"binds": texts, "tmpfs": memory, "mounts": rest}


def _text(mount: BindOrVolume) -> str:
    if ":" in mount.source + mount.target:
        raise EngineRefused(CANNOT, f"Podman cannot be told a mount with a colon: {mount.target}")
    if mount.type == "volume":
        words = ["nocopy"] if mount.no_copy else []
    else:
        words = ["bind" if mount.recursive == "disabled" else "rbind", mount.propagation]
    return ":".join(
        [mount.source, mount.target, ",".join(word for word in (*words, "ro" if mount.read_only else "rw") if word)]
    )


def network_options(network: WantedNetwork) -> dict[str, str]:
    """Return a network's options, with an interface name that no other network of this machine has."""
    if network.driver != "bridge":
        return dict(network.options)
    if network.driver != "bridge":
        return dict(network.options)
    return {BRIDGE_NAME: f"sk{network.hash.rpartition(':')[2]}"[:BRIDGE_CHARS]} | dict(network.options)
