"""A blob that is still arriving: its bytes in one file, and a journal that says which of them can be believed.

The file is cut into parts. When a part is whole it is synced, and its hash goes into the journal; so after a power cut
or on a failing disk a part that is not what was received is found, and only that one is fetched again. What came after
the last whole part is believed as long as the machine has not been restarted: a killed worker loses nothing of it.
"""

from __future__ import annotations

import errno
import hashlib
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from broker.files import storing

PART = 512 * 1024  # what a power cut can cost, and a flipped bit
READ = 256 * 1024
_MAGIC = b"SKPARTS1"
_HEAD = struct.Struct(">8sQ32s")  # magic, size of the blob, boot in which its last bytes were written
_RECORD = struct.Struct(">I16sI")  # number of the part, its hash, CRC-32 of both


class PartialBlob:
    """The bytes of one blob that are here. One thread uses it at a time; `close` it."""

    def __init__(self, path: Path, *, size: int, boot: str) -> None:
        self.path = path
        self.size = size
        self._journal_path = journal_of(path)
        self._boot = boot.encode().ljust(32)[:32]
        self._hashes: dict[int, bytes] = {}
        self._present: dict[int, int] = {}  # part -> how many bytes of it are here, from its beginning
        self._done = 0
        with storing(f"keep {path}"):
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                self._journal = os.open(self._journal_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                self._load()
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        for name in ("_file", "_journal"):
            descriptor = self.__dict__.pop(name, None)
            if descriptor is not None:
                os.close(descriptor)

    def __enter__(self) -> PartialBlob:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()

    @property
    def done(self) -> int:
        """How many bytes are here."""
        return self._done

    def missing(self) -> list[tuple[int, int]]:
        """Return the ranges [start, end) that are not here, in order."""
        ranges: list[tuple[int, int]] = []
        for number in range(self._count):
            start, end = self._bounds(number)
            start += self._present.get(number, 0)
            if start == end:
                continue
            if ranges and ranges[-1][1] == start:
                ranges[-1] = (ranges[-1][0], end)
            else:
                ranges.append((start, end))
        return ranges

    def write(self, start: int, data: bytes) -> None:
        """Take bytes that follow what is here of their part; raise `StorageUnavailable` when the disk does not."""
        view = memoryview(data)
        while view:
            number = start // PART
            begin, end = self._bounds(number)
            assert start == begin + self._present.get(number, 0), "bytes out of order"
            with storing(f"keep {self.path}"):
                written = os.pwrite(self._file, view[: end - start], start)
            self._present[number] = start - begin + written
            self._done += written
            if start + written == end:
                self._believe(number)
            start, view = start + written, view[written:]

    def chunks(self) -> Iterator[bytes]:
        """Yield the bytes from the first to the last."""
        with storing(f"keep {self.path}"):
            for start in range(0, self.size, READ):
                yield os.pread(self._file, min(READ, self.size - start), start)

    def recheck(self) -> int:
        """Read everything again, drop the parts that are not what was received; return how many these were."""
        bad = [number for number in self._present if not self._is_good(number)]
        for number in bad:
            self._done -= self._present.pop(number)
            self._hashes.pop(number, None)
        return len(bad)

    def forget(self) -> None:
        """Drop everything: what was received is not the blob."""
        self._present.clear()
        self._hashes.clear()
        self._done = 0
        with storing(f"keep {self.path}"):
            os.ftruncate(self._file, 0)
            os.ftruncate(self._journal, 0)
            self._write_head()

    def sync(self) -> None:
        with storing(f"keep {self.path}"):
            os.fsync(self._file)
            os.fsync(self._journal)

    # --- inside

    @property
    def _count(self) -> int:
        return -(-self.size // PART)

    def _bounds(self, number: int) -> tuple[int, int]:
        return number * PART, min((number + 1) * PART, self.size)

    def _load(self) -> None:
        head = os.pread(self._journal, _HEAD.size, 0)
        if len(head) < _HEAD.size or head[:-32] != _HEAD.pack(_MAGIC, self.size, b"")[:-32]:
            self.forget()  # another format or size: nothing of it can be used
            return
        written = min(os.fstat(self._file).st_size, self.size)
        self._read_journal()
        for number in [number for number in self._hashes if self._bounds(number)[1] <= written]:
            self._present[number] = self._bounds(number)[1] - self._bounds(number)[0]
        self._done = sum(self._present.values())
        self.recheck()
        if head[-32:] != self._boot:
            self._write_head()
        elif written and (last := (written - 1) // PART) not in self._hashes:
            self._present[last] = written - last * PART
            self._done += self._present[last]

    def _read_journal(self) -> None:
        at = _HEAD.size
        while len(record := os.pread(self._journal, _RECORD.size, at)) == _RECORD.size:
            number, found, check = _RECORD.unpack(record)
            if check == zlib.crc32(record[:-4]) and number < self._count:
                self._hashes[number] = found  # of two for one part the later counts
            at += _RECORD.size
        os.ftruncate(self._journal, at)  # a torn record would shift all later ones

    def _write_head(self) -> None:
        os.pwrite(self._journal, _HEAD.pack(_MAGIC, self.size, self._boot), 0)
        os.fdatasync(self._journal)

    def _believe(self, number: int) -> None:
        found = self._hash(number)
        record = struct.pack(">I16s", number, found)
        with storing(f"keep {self.path}"):
            os.fdatasync(self._file)  # a record says that the bytes are there, so they go first
            self._write_record(record + struct.pack(">I", zlib.crc32(record)))
            os.fdatasync(self._journal)
        self._hashes[number] = found

    def _write_record(self, record: bytes) -> None:
        end = os.lseek(self._journal, 0, os.SEEK_END)
        if os.pwrite(self._journal, record, end) < len(record):  # a disk takes what it still has room for
            os.ftruncate(self._journal, end)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _is_good(self, number: int) -> bool:
        return number in self._hashes and self._hashes[number] == self._hash(number)

    def _hash(self, number: int) -> bytes:
        start, end = self._bounds(number)
        with storing(f"keep {self.path}"):
            return hashlib.sha256(os.pread(self._file, end - start, start)).digest()[:16]


def journal_of(path: Path) -> Path:
    """Return where the journal of a blob lies: beside it, also when it is whole."""
    return path.with_name(path.name + ".parts")
