"""Fuzz layers as a registry sends them: plain, gzip and zstd, damaged, in pieces, and bombs."""

from __future__ import annotations

import gzip
import io
import tarfile
from random import Random

from broker.compression import compress
from broker.layers import measured
from tests.fuzz.fuzzing import damaged, main

SIZE_MAX = 256 * 1024


def _tar() -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name in ("etc/one", "usr/lib/two"):
            info = tarfile.TarInfo(name)
            info.size = 600
            archive.addfile(info, io.BytesIO(name.encode() * 100))
    return data.getvalue()


TAR = _tar()
BOMB = bytes(4 * SIZE_MAX)
SEEDS = (
    TAR,
    *(gzip.compress(each, mtime=0) for each in (TAR, BOMB)),
    gzip.compress(TAR, mtime=0) + gzip.compress(TAR, mtime=0),
    *(compress(each, level=1) for each in (TAR, BOMB)),
)
Data = tuple[bytes, int]


def make(random: Random) -> Data:
    return damaged(random, SEEDS), random.choice((1, 7, 512, 65536))


def attempt(data: Data) -> None:
    """Measure; what is a layer is no larger than it may be."""
    layer, piece = data
    found = measured((layer[at : at + piece] for at in range(0, len(layer), piece)), size_max=SIZE_MAX)
    assert found.unpacked_bytes <= SIZE_MAX


if __name__ == "__main__":
    main(make, attempt)
