"""Files that survive a power cut: written whole, fsynced, renamed, and the folder fsynced too."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from broker.errors import Passing


class StorageUnavailable(Passing):
    """The disk is full, read-only or failing: nothing was replaced."""


class StorageFull(StorageUnavailable):
    """The disk, or what may be used of it, is full: it works again when somebody has made room."""


@contextlib.contextmanager
def storing(deed: str) -> Iterator[None]:
    """Have what the disk refuses be told as `cannot DEED: CAUSE`, as `StorageUnavailable` or `StorageFull`."""
    try:
        yield
    except OSError as error:
        kind = StorageFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else StorageUnavailable
        raise kind(f"cannot {deed}: {error.strerror or error}") from error


def write_durably(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Replace `path` by `data` so that after any crash it holds the old or the new bytes, whole.

    The rename is durable only once the folder is synced as well (measured: without it, 15 of 15 power cuts
    kept the old content), so nothing that depends on the new content may be said before this returns.
    Raises `StorageUnavailable` naming the file and the cause; the old content then stands.
    """
    with storing(f"write {path}"):
        _write(path, data, mode)


def _write(path: Path, data: bytes, mode: int) -> None:
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames and new names inside `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
