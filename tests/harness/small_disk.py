"""A file system of a test's own that can be full: some megabytes of memory, mounted in the test's folder."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

PAGE = 4096
BALLAST = ".ballast"


class SmallDisk:
    """Where it is mounted, and how to fill it and to make room again."""

    def __init__(self, mount: Path) -> None:
        self.mount = mount

    @property
    def free_bytes(self) -> int:
        found = os.statvfs(self.mount)
        return found.f_bavail * found.f_frsize

    def leave(self, free: int) -> None:
        """Fill it until about so many bytes are free."""
        self.make_room()
        with (self.mount / BALLAST).open("wb") as file:
            while not self._filled(file.fileno(), free):
                pass  # who runs on it took a page between the look and the deed

    def _filled(self, descriptor: int, free: int) -> bool:
        try:
            os.posix_fallocate(descriptor, 0, max(PAGE, self.free_bytes - free))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            return False
        return True

    def make_room(self) -> None:
        (self.mount / BALLAST).unlink(missing_ok=True)


@contextlib.contextmanager
def small_disk(mount: Path, *, megabytes: int) -> Iterator[SmallDisk]:
    """Mount one, as root alone may; it is gone afterwards."""
    mount.mkdir(parents=True)
    options = f"size={megabytes}m,nr_inodes=20k,mode=0755"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "skerry-test", str(mount)], check=True)
    try:
        yield SmallDisk(mount)
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=True)
