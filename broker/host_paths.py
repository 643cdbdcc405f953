"""Which paths of a device an app may mount. Pure: asked about paths as written, and about real ones before mounting."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

# Who reaches one of these has the device: the engine would start anything for him, and the others hold all apps' data.
_POWER = (
    *("/run/docker.sock", "/var/run/docker.sock", "/run/podman", "/var/run/podman", "/run/containerd"),
    *("/var/run/containerd", "/var/lib/docker", "/var/lib/containers", "/var/lib/containerd", "/var/lib/skerry"),
)
_SOCKETS = ("docker.sock", "podman.sock", "containerd.sock")  # also in folders of users, as rootless engines have them
_USERS_FOLDER = re.compile(r"(/var)?/run/user(/[0-9]+(/podman|/docker)?)?")


@dataclass(frozen=True)
class HostPaths:
    """What the owner allows: paths at or below `prefixes`; with `engine_socket` also what gives the device away.

    `ours` are the worker's own folders. They count like the engine's socket.
    """

    prefixes: tuple[str, ...] = ()
    engine_socket: bool = False
    ours: tuple[str, ...] = ()

    def missing(self, source: str) -> str:
        """Return the row of the policy that would have to allow mounting `source`, or nothing where it may be."""
        path = PurePosixPath(source)
        if ".." in path.parts or not path.is_absolute():
            return "allow_bind_prefixes"
        gives_power = _gives_power(path, (*_POWER, *self.ours))
        if gives_power and not self.engine_socket:
            return "allow_engine_socket"
        if gives_power and path.name in _SOCKETS:
            return ""
        if path.name.endswith(".sock"):  # who listens there would not expect an app: only by its own name
            return "" if any(PurePosixPath(prefix) == path for prefix in self.prefixes) else "allow_bind_prefixes"
        return "" if any(path.is_relative_to(prefix) for prefix in self.prefixes) else "allow_bind_prefixes"

    def real(self, realpath: Callable[[str], str]) -> HostPaths:
        """Return the same with the owner's links followed: to compare with where a mount really leads."""
        ours = (*self.ours, *map(realpath, (*self.ours, *_POWER)))
        return replace(self, prefixes=tuple(map(realpath, self.prefixes)), ours=ours)


def _gives_power(path: PurePosixPath, places: Iterable[str]) -> bool:
    if path.name in _SOCKETS or _USERS_FOLDER.fullmatch(str(path)):
        return True
    return any(path.is_relative_to(place) or PurePosixPath(place).is_relative_to(path) for place in places)
