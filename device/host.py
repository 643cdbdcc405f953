"""What machine this is: told in births, shown to operators, used to choose images."""

from __future__ import annotations

import logging
import os
import platform
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from broker.errors import SkerryError
from broker.messages import Host
from device.engine.port import Engine, EngineInfo

log = logging.getLogger(__name__)


def describe(engine: Engine | None, *, zone: str = "") -> Host:
    """Return the host as it is now; an engine that does not answer is left out, not waited for."""
    info = _engine(engine)
    return Host(
        os=_distribution(),
        kernel=platform.release(),
        arch=platform.machine(),
        hostname=platform.node(),
        engine=info.name if info else "",
        engine_version=info.version if info else "",
        engine_api=info.api if info else "",
        cpus=os.cpu_count() or 0,
        memory_bytes=int(psutil.virtual_memory().total),
        zone=zone,
    )


def disk_free(folder: Path) -> int | None:
    """Return the free bytes of the file system `folder` is on; None when it cannot be told."""
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def usage(folder: Path) -> dict[str, str]:
    """Return how the machine does, as a sample: sizes in bytes, shares in percent; what it cannot tell is left out.

    `cpu_percent` is since the last call; `net_*_bytes` count from the machine's start, the loopback left out.
    """
    memory, net = psutil.virtual_memory(), psutil.net_io_counters(pernic=True)
    found: dict[str, object] = {
        "cpu_percent": psutil.cpu_percent(),
        "load_1m": round(os.getloadavg()[0], 2),
        "memory_used_bytes": memory.total - memory.available,
        "memory_percent": memory.percent,
        "net_received_bytes": sum(nic.bytes_recv for name, nic in net.items() if name != "lo"),
        "net_sent_bytes": sum(nic.bytes_sent for name, nic in net.items() if name != "lo"),
    }
    try:
        disk = shutil.disk_usage(folder)
        found |= {"disk_free_bytes": disk.free, "disk_percent": round(100 * disk.used / disk.total, 1)}
    except OSError:
        log.debug("the disk's use cannot be told", exc_info=True)
    degrees = [reading.current for readings in _temperatures().values() for reading in readings]
    if degrees:
        found["temperature_c"] = round(max(degrees), 1)
    return {name: str(value) for name, value in found.items()}


def _temperatures() -> Mapping[str, Sequence[Any]]:
    try:
        found: Mapping[str, Sequence[Any]] = psutil.sensors_temperatures()
    except (OSError, ValueError):  # some drivers name a file and then cannot read it
        return {}
    return found


def _engine(engine: Engine | None) -> EngineInfo | None:
    if engine is None:
        return None
    try:
        return engine.info()
    except SkerryError:
        return None


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        return platform.system()
