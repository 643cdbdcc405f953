"""What machine this is: told in births, shown to operators, used to choose images."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

import psutil

from broker.errors import SkerryError
from broker.messages import Host
from device.engine.port import Engine, EngineInfo


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
