"""Paths of the device that containers mount: looked at as they really are, and made where they are missing.

The policy judges what is written; a link on the way could lead elsewhere, and only here, right before mounting, it can
be followed. Whoever may write inside an allowed folder can still change it between this look and the engine's mount.
"""

from __future__ import annotations

import os

from broker.host_paths import HostPaths
from device.engine.port import EngineRefused, WantedContainer, WantedVolume


def prepare(container: WantedContainer) -> None:
    """Make the folders that its mounts lack; refuse (`not_allowed`) one that leads where the owner allows nothing."""
    allowed = container.host_paths.real(os.path.realpath)
    for asked in container.spec.mounts:
        if asked.type == "bind":
            _check(allowed, asked.source)
    for mount in container.mounts:
        if mount.type != "bind" or os.path.lexists(mount.source):
            continue
        if not mount.create_host_path:  # Docker refuses that as well; Podman would make it
            raise EngineRefused("no_host_path", f"{mount.source} is not there")
        try:
            os.makedirs(mount.source, exist_ok=True)
        except OSError as error:
            raise EngineRefused("no_host_path", f"{mount.source} cannot be made: {error.strerror}") from error


def check_volume(volume: WantedVolume) -> None:
    """Refuse (`not_allowed`) a volume that is a path of the device which leads where the owner allows nothing."""
    device = volume.options.get("device", "")
    if device.startswith("/"):
        _check(volume.host_paths.real(os.path.realpath), device)


def _check(allowed: HostPaths, source: str) -> None:
    real = os.path.realpath(source)
    if row := allowed.missing(real):
        raise EngineRefused("not_allowed", f"host path {source} leads to {real}, which is not allowed (policy.{row})")
