"""The device's display for apps that ask for it: the sockets of an X11 or Wayland server, and the X11 cookie.

What was found once counts until the worker ends: a display server that is just starting again must not change what
containers are made of. A Wayland socket is mounted as a file, so a new one is another display.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from broker.files import write_durably
from device.engine.port import BindOrVolume
from device.platform.xauthority import BYTES_MAX, for_any_host

log = logging.getLogger(__name__)

X11_FOLDER = "/tmp/.X11-unix"  # noqa: S108 - where X servers have their sockets, and clients look for them
COOKIE_FOLDER = "/run/skerry-display"
WAYLAND_SOCKET = "/run/skerry-wayland/wayland-0"


@dataclass(frozen=True)
class Places:
    """Where displays are looked for. What the owner names in device.toml is taken before what is found."""

    x11: str = ""  # as in DISPLAY: `:0`
    wayland: str = ""  # path of a socket
    xauthority: str = ""  # path of a file of cookies
    x11_folder: Path = Path(X11_FOLDER)
    run_folder: Path = Path("/run/user")


@dataclass(frozen=True)
class Found:
    """What a container needs to reach the display."""

    environment: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[BindOrVolume, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.environment)


class Display:
    """Owns the folder of the copied cookie."""

    def __init__(self, folder: Path, places: Places, *, answers: Callable[[Path], bool] | None = None) -> None:
        self._folder = folder
        self._places = places
        self._answers = answers or _answers
        self._x11: str | None = None
        self._wayland: tuple[Path, str] | None = None  # with what tells this socket from a later one

    def look(self) -> Found:
        """Return the display there is: nothing while there never was one."""
        if self._x11 is None:
            self._x11 = self._find_x11()
        if (wayland := self._find_wayland()) is not None:
            self._wayland = (wayland, _identity(wayland))
        environment: dict[str, str] = {}
        mounts: list[BindOrVolume] = []
        if self._x11 is not None:
            environment["DISPLAY"] = f":{self._x11}"
            # The folder, not the socket: a display server that starts again makes a new socket.
            mounts.append(BindOrVolume("bind", X11_FOLDER, source=str(self._places.x11_folder), read_only=True))
            if self._copy_cookie(self._x11):
                environment["XAUTHORITY"] = f"{COOKIE_FOLDER}/Xauthority"
                mounts.append(BindOrVolume("bind", COOKIE_FOLDER, source=str(self._folder), read_only=True))
        if self._wayland is not None:
            path, identity = self._wayland
            environment["WAYLAND_DISPLAY"] = WAYLAND_SOCKET
            environment["SKERRY_WAYLAND_ID"] = identity  # another socket, another container
            mounts.append(BindOrVolume("bind", WAYLAND_SOCKET, source=str(path), read_only=True))
        return Found(environment, tuple(mounts))

    def _find_x11(self) -> str | None:
        """Return the number of the lowest X11 display that answers."""
        named = re.fullmatch(r":([0-9]{1,5})(\.[0-9]+)?", self._places.x11)
        if named is not None:
            return named[1] if self._answers(self._places.x11_folder / f"X{named[1]}") else None
        numbers = (re.fullmatch(r"X([0-9]{1,5})", name) for name in _names(self._places.x11_folder))
        for number in sorted(int(match[1]) for match in numbers if match is not None):
            if self._answers(self._places.x11_folder / f"X{number}"):
                return str(number)
        return None

    def _find_wayland(self) -> Path | None:
        if self._places.wayland:
            named = Path(self._places.wayland)
            return named if self._answers(named) else None
        for user in sorted(_names(self._places.run_folder)):
            folder = self._places.run_folder / user
            for name in sorted(name for name in _names(folder) if re.fullmatch(r"wayland-[0-9]{1,5}", name)):
                if self._answers(folder / name):
                    return folder / name
        return None

    def _copy_cookie(self, number: str) -> bool:
        """Keep our copy of the cookie as the display server's is now; return whether there is one."""
        target = self._folder / "Xauthority"
        try:
            with Path(self._cookie_file()).open("rb") as file:
                wanted = for_any_host(file.read(BYTES_MAX), number)
        except OSError:
            return target.exists()  # as the display: gone for a moment counts as there
        if not wanted:
            return False
        self._folder.mkdir(parents=True, exist_ok=True)
        self._folder.chmod(0o755)
        if not target.exists() or target.read_bytes() != wanted:
            write_durably(target, wanted, mode=0o644)  # for services of any user; nobody else gets to this folder
        return True

    def _cookie_file(self) -> str:
        return self._places.xauthority or os.environ.get("XAUTHORITY", "") or os.path.expanduser("~/.Xauthority")


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _identity(path: Path) -> str:
    try:
        seen = path.stat()
    except OSError:
        return "gone"
    return f"{seen.st_dev}-{seen.st_ino}"


def _answers(path: Path) -> bool:
    """Whether somebody listens on a socket: one that a crash left behind is no display."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            return False
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(1.0)
            probe.connect(str(path))
    except OSError:
        return False
    return True
