"""The folder an app locks itself with: read so that nothing an app puts there can hold the reader or lead it astray."""

from __future__ import annotations

import logging
import os
import shutil
import stat
from pathlib import Path

from device.platform.lock_text import BYTES_MAX, Wish, wish_of

log = logging.getLogger(__name__)

NAME = "update"


def prepare(folder: Path) -> None:
    """Make the folder, which services of any user may write to."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o777)


def discard(folder: Path) -> None:
    """Remove the folder with what the app left in it."""
    try:
        shutil.rmtree(folder, ignore_errors=True)  # follows no links; what it cannot remove stays until the next time
    except RecursionError:
        log.warning("%s is nested too deeply to be removed", folder)


def read(folder: Path) -> Wish | None:
    """Return what the lock file says; None when there is none, or something else in its place.

    Links are not followed and nothing is waited for. What is no plain file is not even opened: opening a device can
    do things (a watchdog's would restart the machine), and an app may make one here.
    """
    try:
        place = os.open(folder / NAME, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(place).st_mode):
            return None
        descriptor = os.open(f"/proc/self/fd/{place}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # O_NONBLOCK: a lease on the file would make us wait
        return None
    finally:
        os.close(place)
    try:
        seen, content = os.fstat(descriptor), os.pread(descriptor, BYTES_MAX, 0)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return wish_of(content, identity=f"file {seen.st_ino} {seen.st_size} {seen.st_mtime_ns}")
