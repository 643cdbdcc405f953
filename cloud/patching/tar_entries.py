"""Where the files of a tar lie in it. Only ever a hint for what to compare: a tar that cannot be read is one file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

BLOCK = 512
ENTRIES_MAX = 300_000
_EXTENSION_MAX = 64 * 1024  # of a long name or a pax header: a path is a few hundred bytes
_LONG_NAME, _PAX = b"L", b"x"
_EXTENSIONS = (_LONG_NAME, b"K", _PAX, b"g")
_NO_DATA = (b"1", b"2", b"3", b"4", b"5", b"6")

Read = Callable[[int, int], bytes]


@dataclass(frozen=True)
class Entry:
    """One file: its header with all extensions at [start, data), its bytes at [data, data + size), padded to `end`."""

    path: str
    start: int
    data: int
    size: int
    end: int


def entries(read: Read, size: int) -> list[Entry]:
    """Return the entries of a tar of `size` bytes; together they are the whole of it, the rest after the last too."""
    found: list[Entry] = []
    start, at, long_path = 0, 0, ""
    while at + BLOCK <= size and len(found) < ENTRIES_MAX:
        header = read(at, BLOCK)
        length = _number(header[124:136])
        kind = header[156:157]
        if header[257:262] != b"ustar" or length is None:
            break
        data = at + BLOCK
        if kind in _NO_DATA:
            length = 0
        end = data + -(-length // BLOCK) * BLOCK
        if end > size:
            break
        at = end
        if kind in _EXTENSIONS:
            if length <= _EXTENSION_MAX:
                long_path = _long_path(kind, read(data, length)) or long_path
            continue
        found.append(Entry(long_path or _path(header), start, data, length, end))
        start, long_path = at, ""
    if start < size:
        found.append(Entry("", start, start, size - start, size))
    return found


def _number(field: bytes) -> int | None:
    if field[0] & 0x80:
        return int.from_bytes(field[4:], "big")
    try:
        return int(field.strip(b" \0") or b"0", 8)
    except ValueError:
        return None


def _path(header: bytes) -> str:
    name, prefix = header[:100].partition(b"\0")[0], header[345:500].partition(b"\0")[0]
    return (prefix + b"/" + name if prefix and header[257:263] == b"ustar\0" else name).decode(errors="surrogateescape")


def _long_path(kind: bytes, data: bytes) -> str:
    if kind == _LONG_NAME:
        return data.rstrip(b"\0").decode(errors="surrogateescape")
    _, found, rest = data.partition(b" path=") if kind == _PAX else (b"", b"", b"")
    return rest.partition(b"\n")[0].decode(errors="surrogateescape") if found else ""
