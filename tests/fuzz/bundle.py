"""Fuzz bundles: headers, sizes, names and order of their files damaged, and the index."""

from __future__ import annotations

import io
from random import Random

from broker.bundle import BLOCK, Entry, Index, Writer, chunks_of, read
from broker.channels import DESIRED, STATUS, TRUST
from tests.fuzz.fuzzing import damaged, main

DEVICE = "daaaaaaaaaaa"
INDEX = Index(made_ms=1, devices=(Entry(org="oaaaaaaaaaaa", device=DEVICE, name="pump", era=1, generation=2),))


def made(*, blobs: int = 2) -> bytes:
    """Return a small bundle."""
    output = io.BytesIO()
    writer = Writer(output, INDEX)
    writer.envelope(DEVICE, TRUST, b"trust")
    writer.envelope(DEVICE, DESIRED, b"desired" * 100)
    writer.envelope(DEVICE, STATUS, b"")
    for number in range(blobs):
        writer.blob("sha256:" + f"{number}" * 64, 700 * number, (b"x" * 700,) * number)
    writer.finish()
    return output.getvalue()


SEEDS = (made(), made(blobs=0), Index().model_dump_json().encode())


def make(random: Random) -> bytes:
    """Return a damaged bundle; often one whose headers add up, so that what is behind them is reached."""
    data = damaged(random, SEEDS)
    if random.random() < 0.7:
        mended = bytearray(data)
        for at in range(0, len(data) - BLOCK, BLOCK):
            if data[at + 257 : at + 262] == b"ustar":
                _add_up(mended, at)
        return bytes(mended)
    return data


def _add_up(data: bytearray, at: int) -> None:
    data[at + 148 : at + 156] = b" " * 8
    data[at + 148 : at + 155] = b"%06o\0" % sum(data[at : at + BLOCK])


def attempt(data: bytes) -> None:
    """Read; whatever is found lies inside of the bundle, and can be read."""
    contents = read(lambda offset, size: data[offset : offset + size], len(data))
    for member in (*contents.envelopes.values(), *contents.blobs.values()):
        assert 0 <= member.offset <= member.offset + member.size <= len(data)
        found = b"".join(chunks_of(lambda offset, size: data[offset : offset + size], member))
        assert len(found) == member.size


if __name__ == "__main__":
    main(make, attempt)
