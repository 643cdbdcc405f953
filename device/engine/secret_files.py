"""Secrets on the device: opened at the last moment, into files that lie in memory and nowhere else."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from broker.errors import Refused
from broker.sealing import Opener
from device.engine.host_files import HostFiles
from device.engine.port import EngineRefused, FileInside

IN_MEMORY = ("tmpfs", "ramfs")  # names of filesystems that have no disk


@dataclass(frozen=True)
class Secrets:
    """The key that secrets are sealed to, and the folder that they are opened into; None: there is no memory for it."""

    opener: Opener
    folder: Path | None

    def opened(self, file: FileInside) -> bytes:
        try:
            return self.opener.open(file.sealed, file.data)
        except Refused as error:
            raise EngineRefused("bad_secret", f"{file.path}: {error}") from error


def secret_files(secrets: Secrets | None, *, in_use: Callable[[], frozenset[str]]) -> HostFiles:
    """Return what keeps the secrets of an engine's containers; one without a place where none is given."""
    if secrets is None:
        return HostFiles(None, in_use=in_use, opened=lambda file: b"")
    return HostFiles(secrets.folder, in_use=in_use, opened=secrets.opened)


def folder_in_memory(device: str, places: Sequence[Path] = (Path("/run"), Path("/dev/shm"))) -> Path | None:  # noqa: S108
    """Return where a device's secrets may lie: in the first of `places` that is not on a disk; None where all are."""
    for place in places:
        if os.access(place, os.W_OK) and filesystem_of(place) in IN_MEMORY:
            return place / "skerry" / device
    return None


def filesystem_of(path: Path, mounts: Path = Path("/proc/self/mountinfo")) -> str:
    """Return the type of the filesystem that a path is on (proc(5), mountinfo); empty where the table does not tell."""
    best, found = -1, ""
    real = os.path.realpath(path)
    for line in mounts.read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        point = fields.split()[4].encode().decode("unicode_escape")
        is_above = real == point or real.startswith(point.rstrip("/") + "/")
        if is_above and len(point) >= best:  # a later mount at the same point hides the earlier
            best, found = len(point), rest.split()[0]
    return found
