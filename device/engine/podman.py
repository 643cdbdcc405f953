"""What takes more than one call on Podman, where Docker does it in one."""

from __future__ import annotations

import contextlib
import fcntl
import socket
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from docker.errors import APIError

from device.engine import labels
from device.engine.connection import Connection
from device.engine.port import EngineRefused

REMOVE_TRIES = 5
STOP_TRIES, STOP_PAUSE_S = 20, 0.05  # Podman takes a tenth of a second to decide, on a busy machine longer
UNDECIDED = ("stopped", "running", "stopping", "initialized")
_USING = {"running", "paused", "stopping"}
_GET_ADDRESS, _SET_ADDRESS = 0x8927, 0x8924  # SIOCGIFHWADDR, SIOCSIFHWADDR


def stop(connection: Connection, container_id: str, *, grace_s: int) -> int | None:
    """Stop a container for good; return how often Podman says it was restarted, or None where it was not to be had.

    An end of which Podman has not decided whether to start it again is no state to stop in: it says that there is
    nothing to stop, and then starts it.
    """
    for left in reversed(range(STOP_TRIES)):
        connection.stop(container_id, grace_s=grace_s)
        found = connection.client().inspect_container(container_id)
        if found["State"].get("Status") not in UNDECIDED:
            return int(found.get("RestartCount") or 0)
        if left:
            time.sleep(STOP_PAUSE_S)  # the decision is another process's, and no call waits for it
    return None


def remove(connection: Connection, container_id: str, *, mine: Mapping[str, str]) -> None:
    """Remove a container. Those of ours that have joined it go first, as Podman keeps nothing that others stand on."""
    client = connection.client()
    for left in reversed(range(REMOVE_TRIES)):
        try:
            client.remove_container(container_id, force=True, v=False)
        except APIError as error:
            if left == 0 or error.status_code == 404:
                raise
            # It ends, or is restarted, in this very moment; or others have joined it. Its answer does not tell safely.
            for other in _joined_to(connection, container_id, mine):
                remove(connection, other, mine=mine)
            client.stop(container_id, timeout=0)
            continue
        return


def _joined_to(connection: Connection, container_id: str, mine: Mapping[str, str]) -> list[str]:
    ours = [str(item["Id"]) for item in connection.client().containers(all=True, filters=dict(mine))]
    found = []
    for other in ours:
        told: dict[str, Any] = connection.libpod("GET", f"/containers/{other}/json").json()
        if container_id in (told.get("Dependencies") or ()):
            found.append(other)
    return found


def check_unused(connection: Connection, network: str) -> None:
    """Refuse where somebody uses a network: Podman would take it away, and its users could never start again."""
    users = connection.client().containers(all=True, filters={"network": network})
    if any(str(user.get("State")) in _USING for user in users):
        raise EngineRefused("engine_refused", f"network {network} is in use")


def bridge_of(connection: Connection, network: str) -> str:
    """Return the host interface of a network, which only Podman's own API tells."""
    return str(connection.libpod("GET", f"/networks/{network}/json").json()["network_interface"])


def pin_bridges(connection: Connection, container_id: str) -> None:
    """Let the bridges of the networks that a container is on, if they are ours, keep the hardware addresses they have.

    Before netavark 1.9 a bridge has that of one of its members, and another one when that leaves: then who stays
    cannot reach its name server nor the world until its ARP entry is found to be stale, half a minute later.
    """
    found = connection.client().inspect_container(container_id)["NetworkSettings"].get("Networks") or {}
    for network in found:
        told: dict[str, Any] = connection.libpod("GET", f"/networks/{network}/json").json()
        if labels.DEVICE in (told.get("labels") or {}):
            with contextlib.suppress(OSError):  # not root, or the bridge is in another namespace: as without us
                _pin(str(told["network_interface"]))


def _pin(bridge: str) -> None:
    if not Path("/sys/class/net", bridge, "bridge").exists():
        return
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        address = fcntl.ioctl(link, _GET_ADDRESS, struct.pack("40s", bridge.encode()))
        fcntl.ioctl(link, _SET_ADDRESS, address)
