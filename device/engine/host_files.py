"""Configs and secrets in files of the device that containers mount, for as long as a container mounts them.

A mounted file reaches a container whose root cannot be written as well, and lies over whatever the container has at its
place. Containers with equal hashes share theirs, because the hash is also of the contents.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from broker.files import StorageUnavailable, sync_folder
from device.engine.port import BindOrVolume, EngineRefused, FileInside, WantedContainer

_UNFINISHED = ".new"
_GONE = ".gone"


class HostFiles:
    """Owns one folder. `in_use` tells the hashes of the containers that there are.

    With `opened`, which opens what is sealed, the folder is for sealed files and for no others. Such a folder lies in
    memory and is empty after a boot: `lay_ready` fills it again before a container is started.
    """

    def __init__(
        self,
        folder: Path | None,
        *,
        in_use: Callable[[], frozenset[str]],
        opened: Callable[[FileInside], bytes] | None = None,
    ) -> None:
        self.folder = folder
        self._in_use = in_use
        self._opened = opened
        self._lock = threading.Lock()
        self._being_made: list[str] = []  # for containers that are not there yet
        self._not_now: set[str] = set()  # what was begun since somebody last began to look for what may go
        self._forgetting = threading.Semaphore()

    @contextmanager
    def placed(self, container: WantedContainer) -> Iterator[WantedContainer]:
        """Yield the container with its files as mounts, which stay when it was made meanwhile."""
        files = self._mine(container)
        if not files:
            yield container
            return
        if self.folder is None:
            what = "configs" if self._opened is None else "secrets, which lie in memory alone"
            raise EngineRefused("no_files", f"{files[0].path}: there is no place here for {what}")
        name = _name(container.hash)
        with self._lock:
            self._being_made.append(name)
            self._not_now.add(name)
        try:
            folder = self._written(self.folder, name, files)
            mounts = tuple(
                BindOrVolume("bind", file.path, source=str(folder / str(at)), read_only=True)
                for at, file in enumerate(files)
            )
            yield replace(container, mounts=(*container.mounts, *mounts))
        finally:
            with self._lock:
                self._being_made.remove(name)

    def lay_ready(self, container: WantedContainer) -> None:
        """Have the files of a container that is there lie where it mounts them."""
        with self.placed(container):
            pass

    def _mine(self, container: WantedContainer) -> tuple[FileInside, ...]:
        return tuple(file for file in container.files if bool(file.sealed) == (self._opened is not None))

    def forget(self) -> None:
        """Delete the files that no container has. Asks the engine only where there are any."""
        if not self._forgetting.acquire(blocking=False):
            return  # another thread is at it, and will be again with the next container that goes
        try:
            with self._lock:
                self._not_now = set(self._being_made)
            there = list(self.folder.iterdir()) if self.folder is not None and self.folder.is_dir() else []
            used = {_name(container_hash) for container_hash in self._in_use()} if there else set()
            for entry in there:
                self._drop(entry, used)
        finally:
            self._forgetting.release()

    def _drop(self, entry: Path, used: set[str]) -> None:
        gone = entry
        with self._lock:  # moved away first: who begins to make the same again does not find it
            if entry.name.partition(".")[0] in used | self._not_now:
                return
            if entry.suffix != _GONE:
                gone = entry.rename(entry.with_suffix(_GONE))
        shutil.rmtree(gone, ignore_errors=True)

    def _written(self, place: Path, name: str, files: tuple[FileInside, ...]) -> Path:
        folder = place / name
        if folder.is_dir():
            return folder
        unfinished = place / f"{name}.{threading.get_ident()}{_UNFINISHED}"
        try:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            for at, file in enumerate(files):
                _write(unfinished / str(at), file, file.data if self._opened is None else self._opened(file))
            sync_folder(unfinished)
            if not folder.is_dir():
                unfinished.rename(folder)
            sync_folder(place)
        except PermissionError as error:
            why = f"{files[0].path}: this worker may not make a file of user {files[0].uid}: {error.strerror}"
            raise EngineRefused("not_permitted", why) from error
        except OSError as error:
            raise StorageUnavailable(f"cannot write {folder}: {error.strerror or error}") from error
        return folder


def _name(container_hash: str) -> str:
    return container_hash.rpartition(":")[2]


def _write(path: Path, file: FileInside, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as made:
        made.write(data)
        made.flush()
        if (file.uid, file.gid) != (os.geteuid(), os.getegid()):
            os.fchown(descriptor, file.uid, file.gid)
        os.fchmod(descriptor, file.mode)
        os.fsync(descriptor)
