"""A file system that can lose its power: XFS in an image file, on a loop device, in a mount namespace of its own.

Whoever uses it must run under `unshare --mount --propagation private`, or another container's start can pin the mount.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

MEGABYTES = 320  # the smallest that today's mkfs.xfs makes is 300


class Disk:
    """One image file and where it is mounted."""

    def __init__(self, folder: Path) -> None:
        self._image = folder / "disk.xfs"
        self.mount = folder / "m"

    def begin(self) -> None:
        self.mount.mkdir()
        with self._image.open("wb") as file:
            file.truncate(MEGABYTES << 20)
        _run("mkfs.xfs", "-q", "-f", str(self._image))
        self._mount()

    def remount(self) -> None:
        """Come back after a power cut: the log is replayed, and what was not synced is gone."""
        self._unmount()
        self._mount()

    def end(self) -> None:
        self._unmount()

    def _mount(self) -> None:
        _run("mount", "-t", "xfs", "-o", "loop", str(self._image), str(self.mount))

    def _unmount(self) -> None:
        for _ in range(100):  # children of the killed worker may need a moment to end
            done = subprocess.run(["umount", str(self.mount)], capture_output=True, text=True, check=False)
            if done.returncode == 0:
                return
            time.sleep(0.1)
        raise OSError(f"cannot unmount {self.mount}: {done.stderr}")


def in_private_mounts(module: str) -> None:
    """Start this program again in a mount namespace of its own, unless it is in one."""
    if os.environ.get("SKERRY_PRIVATE_MOUNTS") != "1":
        os.environ["SKERRY_PRIVATE_MOUNTS"] = "1"
        python = [sys.executable, "-m", module, *sys.argv[1:]]
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", *python])  # noqa: S606


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise OSError(f"{argv[0]}: {done.stderr.strip()}")
