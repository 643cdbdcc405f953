"""A file with a checksum and its predecessor: a torn or flipped one is noticed, and the one before it is used."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

from broker.files import write_durably

log = logging.getLogger(__name__)
_MAGIC = b"SKERRY1\n"
_DIGEST = hashlib.sha256().digest_size


class CheckedFile:
    """Bytes that were accepted, on disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._previous = path.with_name(path.name + ".previous")

    def write(self, data: bytes) -> None:
        """Make `data` the content, durably; what was there before stays as the previous one."""
        current = self._read(self._path)
        if current is not None and current != data:
            write_durably(self._previous, _framed(current))
        write_durably(self._path, _framed(data))

    def forget_previous(self) -> None:
        """Delete what was there before the newest content."""
        self._previous.unlink(missing_ok=True)

    def read(self) -> bytes | None:
        """Return the content, or the previous one when it is broken, or nothing."""
        data = self._read(self._path)
        if data is None and self._path.exists():
            log.error("%s is broken; using the one before it", self._path)
            data = self._read(self._previous)
        return data

    def _read(self, path: Path) -> bytes | None:
        try:
            framed = path.read_bytes()
        except OSError:  # absent, or on a sector that cannot be read: then it is as broken as a torn one
            return None
        data = framed[len(_MAGIC) + _DIGEST :]
        return data if framed == _framed(data) else None


def _framed(data: bytes) -> bytes:
    return _MAGIC + hashlib.sha256(data).digest() + data
