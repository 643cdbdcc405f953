"""Fuzz patches of layers: damaged anywhere, they make the promised layer or are refused."""

from __future__ import annotations

import hashlib
import io
from random import Random

from broker.patches import Head, Plan, Range, Step, applied, packed_segment, read_head
from tests.fuzz.fuzzing import damaged, main

OLD = Random(1).randbytes(30_000)  # noqa: S311 - repeatable on purpose
RESULT_MAX = 200_000  # a damaged head promises more than a test shall wait for


def base(start: int, length: int) -> bytes:
    assert start >= 0
    assert start + length <= len(OLD)
    return OLD[start : start + length]


def _patch(random: Random) -> bytes:
    segments, result = [], b""
    for _ in range(random.randint(1, 3)):
        steps, fresh = [], b""
        for _ in range(random.randint(1, 20)):
            new = random.randbytes(random.randint(1, 9)) + OLD[: random.randint(0, 600)]
            start = random.randrange(len(OLD) - 1)
            copied = Range(start, random.randint(0, min(4_000, len(OLD) - start)))
            steps.append(Step(len(new), copied))
            fresh += new
            result += new + base(copied.start, copied.length)
        segments.append(packed_segment(Plan([Range(0, 5_000)], steps), fresh, base, level=1))
    digests = [f"sha256:{hashlib.sha256(data).hexdigest()}" for data in (OLD, result)]
    return Head(digests[0], len(OLD), digests[1], len(result)).packed() + b"".join(segments)


PATCHES = tuple(_patch(Random(seed)) for seed in range(12))  # noqa: S311 - repeatable on purpose


def make(random: Random) -> bytes:
    return damaged(random, PATCHES)


def attempt(data: bytes) -> None:
    """Apply; what ends without a refusal has the length and the digest that the head promises."""
    file = io.BytesIO(data)
    head = read_head(file)
    head = Head(head.base, min(head.base_bytes, len(OLD)), head.result, head.result_bytes)
    found, size = hashlib.sha256(), 0
    for piece in applied(file, base, head=head):
        found.update(piece)
        size += len(piece)
        assert size <= head.result_bytes
        if size > RESULT_MAX:
            return
    assert f"sha256:{found.hexdigest()}" == head.result
    assert size == head.result_bytes


if __name__ == "__main__":
    main(make, attempt)
