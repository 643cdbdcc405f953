"""Fuzz the payloads of batches: damaged frames, and damaged content in frames that are whole."""

from __future__ import annotations

from random import Random

from broker.compression import compress, decompress
from broker.errors import Refused
from broker.payloads import BYTES_MAX, pack_lines, pack_samples, unpack_lines, unpack_samples
from tests.fuzz.fuzzing import damaged, main
from tests.wire.examples import LINES_SENT, PAYLOADS, SAMPLES_SENT, payload_file

FRAMES = (*(bytes.fromhex(payload_file(name).read_text()) for name in PAYLOADS), pack_samples([]), pack_lines([]))
PLAIN = tuple(
    decompress(frame, BYTES_MAX) for frame in (*FRAMES, pack_samples(SAMPLES_SENT * 20), pack_lines(LINES_SENT * 20))
)


def make(random: Random) -> bytes:
    if random.random() < 0.3:
        return damaged(random, FRAMES)
    return compress(damaged(random, PLAIN), level=1)


def attempt(payload: bytes) -> None:
    """Unpack as both formats; what is one comes out the same after packing it again."""
    try:
        samples = unpack_samples(payload)
    except Refused:
        lines = unpack_lines(payload)
        assert unpack_lines(pack_lines(lines)) == lines
    else:
        assert unpack_samples(pack_samples(samples)) == samples


if __name__ == "__main__":
    main(make, attempt)
