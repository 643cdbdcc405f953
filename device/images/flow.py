"""The tars of layers on their way into files: several steps at once, for hashing and packing leave Python's lock."""

from __future__ import annotations

import contextlib
import hashlib
import os
import queue
import threading
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from broker.layers import Measured

AHEAD = 8  # pieces of at most 256 KiB: enough that neither side waits for a single one
LOOK_S = 0.5
READ = 256 * 1024
TELL_EVERY = 32  # pieces
WRITEBACK = 16 * 1024**2
STORED_LEVEL = 1  # of zstd: what was made here lies on the disk about as small as it would have come

Told = Callable[[], None]
"""Is called now and then while something goes on, and may raise to stop it."""


class _End:
    """After the last piece; with an error where there was one."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def ahead(pieces: Iterator[bytes], told: Told) -> Generator[bytes, None, None]:
    """Pass pieces on that another thread makes meanwhile, a few before they are taken. Close it."""
    line: queue.Queue[bytes | _End] = queue.Queue(AHEAD)
    is_over = threading.Event()

    def put(item: bytes | _End) -> None:
        while not is_over.is_set():
            with contextlib.suppress(queue.Full):
                line.put(item, timeout=LOOK_S)
                return

    def run() -> None:
        error: BaseException | None = None
        try:
            for piece in pieces:
                put(piece)
                if is_over.is_set():
                    break
        except BaseException as raised:  # noqa: BLE001 - raised again on the thread that takes the pieces
            error = raised
        put(_End(error))

    thread = threading.Thread(target=run, name="patch-result", daemon=True)
    thread.start()
    number = 0
    try:
        while True:
            try:
                item = line.get(timeout=LOOK_S)
            except queue.Empty:
                told()
                continue
            if isinstance(item, _End):
                break
            if number % TELL_EVERY == 0:
                told()
            number += 1
            yield item
        if item.error is not None:
            raise item.error
    finally:
        is_over.set()
        thread.join()


class Tar(Protocol):
    """A tar that is read at any place, and checked in the end."""

    def read(self, start: int, length: int) -> bytes:
        """Return bytes; fewer where it ends before."""
        ...

    def ended(self, told: Told) -> str:
        """Return the digest of the whole."""
        ...

    def close(self) -> None: ...


class Lying:
    """A tar that lies there; `checked` is its digest where that is known."""

    def __init__(self, file: BinaryIO, *, checked: str = "") -> None:
        self._file = file
        self._checked = checked

    def read(self, start: int, length: int) -> bytes:
        return os.pread(self._file.fileno(), length, start)

    def ended(self, told: Told) -> str:
        if not self._checked:
            found = hashlib.sha256()
            for piece in telling(iter(lambda: self._file.read(READ), b""), told):
                found.update(piece)
            self._checked = f"sha256:{found.hexdigest()}"
        return self._checked

    def close(self) -> None:
        self._file.close()


class Growing:
    """A tar that a thread writes to a file, readable as far as it has come. It need not outlive a power cut."""

    def __init__(self, pieces: Iterator[bytes], path: Path) -> None:
        self._pieces = pieces
        self._file = path.open("w+b", buffering=0)
        self._grown = threading.Condition()
        self._size = 0
        self._is_over = False
        self._error: BaseException | None = None
        self._digest = ""
        self._thread = threading.Thread(target=self._run, name="patch-base", daemon=True)
        self._thread.start()

    def read(self, start: int, length: int) -> bytes:
        """Return bytes once they are there. Raises what writing them raised."""
        with self._grown:
            self._grown.wait_for(lambda: self._is_over or self._size >= start + length)
            if self._error is not None:
                raise self._error
        return os.pread(self._file.fileno(), length, start)

    def ended(self, told: Told) -> str:
        while self._thread.is_alive():
            self._thread.join(LOOK_S)
            told()
        if self._error is not None:
            raise self._error
        return self._digest

    def close(self) -> None:
        with self._grown:
            self._is_over = True
            self._grown.notify_all()
        self._thread.join()
        self._file.close()

    def _run(self) -> None:
        found = hashlib.sha256()
        error: BaseException | None = None
        try:
            for piece in self._pieces:
                found.update(piece)
                _write(self._file.fileno(), piece)
                with self._grown:
                    self._size += len(piece)
                    self._grown.notify_all()
                    if self._is_over:
                        break
            self._digest = f"sha256:{found.hexdigest()}"
        except BaseException as raised:  # noqa: BLE001 - raised again on the thread that reads
            error = raised
        with self._grown:
            self._error, self._is_over = error, True
            self._grown.notify_all()


def telling(pieces: Iterator[bytes], told: Told) -> Iterator[bytes]:
    """Pass pieces on, and tell about every few MiB that it goes on."""
    with contextlib.closing(pieces) if isinstance(pieces, Generator) else contextlib.nullcontext():
        for number, piece in enumerate(pieces):
            if number % TELL_EVERY == 0:
                told()
            yield piece


def stored(pieces: Iterator[bytes], out: Path, told: Told, *, diff_id: str, size: int, packs: bool) -> Measured:
    """Write a tar to a file that is to be kept, packed or as it is, and do not sync it; return what it is.

    It is `diff_id` by the word of whoever makes the pieces, and as it is it needs no other digest.
    """
    found, at = hashlib.sha256(), 0
    with out.open("wb", buffering=0) as file, contextlib.closing(ahead(pieces, told)) as line:
        for piece in _packed(line) if packs else line:
            if packs:
                found.update(piece)
            _write(file.fileno(), piece)
            if at // WRITEBACK < (at + len(piece)) // WRITEBACK:
                # What is written goes to the disk from now on, and the sync that comes later waits for the rest alone.
                os.posix_fadvise(file.fileno(), 0, at, os.POSIX_FADV_DONTNEED)
            at += len(piece)
    return Measured(f"sha256:{found.hexdigest()}" if packs else diff_id, diff_id, size)


def _packed(pieces: Iterator[bytes]) -> Iterator[bytes]:
    from broker.compression import compressed  # most days no device needs it

    return compressed(pieces, level=STORED_LEVEL)


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
