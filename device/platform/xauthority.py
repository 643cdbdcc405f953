"""The file of X11 cookies (Xau(3)): read with limits, and written again so that it serves any host name. Pure.

An entry is a family (two bytes), then address, display number, name and data, each with a length of two bytes, all
big-endian. A cookie is kept for the machine's own host name, which a container does not have: so the family becomes
`wild`, which fits every address.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

BYTES_MAX = 64 * 1024
WILD = 0xFFFF


class Entry(NamedTuple):
    family: int
    address: bytes
    number: bytes
    name: bytes
    data: bytes


def entries(content: bytes) -> Iterator[Entry]:
    """Yield what can be read of the file, up to where it is cut off."""
    at = 0
    while at + 2 <= len(content):
        (family,) = struct.unpack_from(">H", content, at)
        at += 2
        parts = []
        for _ in range(4):
            if at + 2 > len(content):
                return
            (length,) = struct.unpack_from(">H", content, at)
            part = content[at + 2 : at + 2 + length]
            if len(part) < length:
                return
            parts.append(part)
            at += 2 + length
        yield Entry(family, *parts)


def for_any_host(content: bytes, number: str) -> bytes:
    """Return the cookies of display `number` as a file that serves any host; empty when there are none."""
    found = {(e.name, e.data): e for e in entries(content[:BYTES_MAX]) if e.number in (number.encode(), b"")}
    return b"".join(_packed(entry._replace(family=WILD, address=b"", number=b"")) for entry in found.values())


def _packed(entry: Entry) -> bytes:
    parts = (entry.address, entry.number, entry.name, entry.data)
    return struct.pack(">H", entry.family) + b"".join(struct.pack(">H", len(part)) + part for part in parts)
