"""The framing in which an engine sends a container's two outputs over one connection. Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Literal

HEADER = struct.Struct(">BxxxL")  # 1 is out, 2 is err; then how many bytes follow


def frames(data: bytes) -> Iterator[tuple[Literal["out", "err"], bytes]]:
    """Yield what each frame of `data` holds; the last one may be cut short."""
    at = 0
    while at + HEADER.size <= len(data):
        kind, size = HEADER.unpack_from(data, at)
        at += HEADER.size
        yield ("err" if kind == 2 else "out"), data[at : at + size]
        at += size
