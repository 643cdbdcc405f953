"""Patches: a layer's tar made from another one that a device has. The format, and how a patch is applied.

A patch is a head and segments. Each segment makes the next bytes of the result by turns: some *fresh* ones, then some
copied from the base. The fresh bytes of a segment are one zstd frame, compressed against a *prefix*: ranges of the base
that the maker thought alike. So both sides hold one segment's fresh bytes and prefix, never a whole layer.

    head     magic, digests (SHA-256) and sizes of base and result
    segment  sizes of plan, packed plan, fresh bytes, packed fresh bytes and prefix; then the two zstd frames
    plan     varints: number of ranges, (skipped, length) of each; then (fresh, copied, move) until the segment's end

`skipped` counts from the end of the range before, `move` (zigzag) from the end of the copy before. A patch proves
nothing and needs no signature: what it makes is judged by the digest in the release.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from broker.compression import compress, compress_against, decompress, decompressed_against
from broker.errors import Refused

MAGIC = b"SKPATCH1"
FRESH_MAX = 8 * 1024**2  # of one segment; twice that saves nothing (bench/RESULTS.md)
PREFIX_MAX = 12 * 1024**2  # the decoder copies it: for a moment it is there twice
PLAN_MAX = 256 * 1024  # some ten thousand steps, which take megabytes as objects
RESULT_MAX = 64 * 1024**3
PIECE = 256 * 1024
_HEAD = struct.Struct(">8s32sQ32sQ")
_SEGMENT = struct.Struct(">IIIII")
_VARINT_BITS = 63
_PLAN_LEVEL = 19

HEAD_BYTES = _HEAD.size


class BadPatch(Refused):
    """The patch cannot be applied: it is broken, or what it makes is not what it promises."""

    def __init__(self, message: str) -> None:
        super().__init__("bad_patch", message)


@dataclass(frozen=True)
class Head:
    """What a patch is from and to: digests as `sha256:..`, which are diff ids."""

    base: str
    base_bytes: int
    result: str
    result_bytes: int

    def packed(self) -> bytes:
        return _HEAD.pack(MAGIC, _raw(self.base), self.base_bytes, _raw(self.result), self.result_bytes)


@dataclass(frozen=True)
class Range:
    """Bytes [start, start + length) of the base."""

    start: int
    length: int

    @property
    def end(self) -> int:
        return self.start + self.length


@dataclass(frozen=True)
class Step:
    """The next bytes of the result: `fresh` ones of the segment, then a range of the base."""

    fresh: int
    copied: Range


@dataclass(frozen=True)
class Plan:
    """How one segment makes its bytes."""

    prefix: Sequence[Range]
    steps: Sequence[Step]


class Source(Protocol):
    """A patch that is read from its beginning to its end."""

    def read(self, size: int, /) -> bytes: ...


Base = Callable[[int, int], bytes]  # (start, length) -> bytes of the base


def packed_segment(plan: Plan, fresh: bytes, base: Base, *, level: int) -> bytes:
    """Return the bytes of a segment."""
    written = _written(plan)
    prefix = b"".join(base(each.start, each.length) for each in plan.prefix)
    assert len(written) <= PLAN_MAX
    assert len(fresh) <= FRESH_MAX
    assert len(prefix) <= PREFIX_MAX
    packed_plan = compress(written, level=_PLAN_LEVEL)
    packed_fresh = compress_against(fresh, prefix, level=level) if fresh else b""
    sizes = (len(written), len(packed_plan), len(fresh), len(packed_fresh), len(prefix))
    return _SEGMENT.pack(*sizes) + packed_plan + packed_fresh


def read_head(patch: Source) -> Head:
    """Return what a patch is from and to; raise `BadPatch`."""
    magic, base, base_bytes, result, result_bytes = _HEAD.unpack(_exactly(patch, _HEAD.size))
    if magic != MAGIC:
        raise BadPatch("these bytes are no patch")
    if max(base_bytes, result_bytes) > RESULT_MAX:
        raise BadPatch(f"a patch of layers up to {max(base_bytes, result_bytes)} bytes; {RESULT_MAX} may be")
    return Head(f"sha256:{base.hex()}", base_bytes, f"sha256:{result.hex()}", result_bytes)


def applied(patch: Source, base: Base, *, head: Head) -> Iterator[bytes]:
    """Yield the result in pieces, after `read_head`; raise `BadPatch`, at the end where its digest is wrong.

    What was yielded before is worth nothing until the end. `base` is not checked: a wrong one makes a wrong result.
    """
    made, found = 0, hashlib.sha256()
    prefix_left = 64 * 1024**2 + 4 * head.result_bytes  # a small patch shall not read a large base for ever
    segments_left = 16 + head.result_bytes // 2**20
    while made < head.result_bytes:
        began = made
        sizes = _SEGMENT.unpack(_exactly(patch, _SEGMENT.size))
        prefix_left -= sizes[4]
        segments_left -= 1
        if prefix_left < 0 or segments_left < 0:
            raise BadPatch("the patch costs more than it is worth")
        for piece in _segment(patch, base, sizes, head=head, room=head.result_bytes - made):
            made += len(piece)
            found.update(piece)
            yield piece
        if made == began:
            raise BadPatch("a segment makes nothing")
    if patch.read(1):
        raise BadPatch("bytes follow the last segment")
    if f"sha256:{found.hexdigest()}" != head.result:
        raise BadPatch(f"what it makes is not {head.result}: the base is not {head.base}, or the patch is wrong")


def _segment(patch: Source, base: Base, sizes: tuple[int, ...], *, head: Head, room: int) -> Iterator[bytes]:
    plan_bytes, packed_plan, fresh_bytes, packed_fresh, prefix_bytes = sizes
    if plan_bytes > PLAN_MAX or fresh_bytes > FRESH_MAX or prefix_bytes > PREFIX_MAX:
        raise BadPatch("a segment is larger than may be")
    if packed_plan > plan_bytes + 1024 or packed_fresh > fresh_bytes + fresh_bytes // 128 + 1024:
        raise BadPatch("a segment is packed larger than it is")
    try:
        written = decompress(_exactly(patch, packed_plan), plan_bytes)
        if len(written) != plan_bytes:
            raise BadPatch("a plan has another length than was said")
        plan = _read(written, fresh_bytes=fresh_bytes, prefix_bytes=prefix_bytes, base_bytes=head.base_bytes, room=room)
        body = _exactly(patch, packed_fresh)
        prefix = _prefix(plan, base, prefix_bytes)
        stream = decompressed_against(body, prefix, size=fresh_bytes, piece_max=PIECE) if fresh_bytes else iter(())
        yield from _merged(plan, _Fresh(stream), base)
        if next(stream, None) is not None:
            raise BadPatch("a segment has more fresh bytes than its plan uses")
    except Refused as error:
        if isinstance(error, BadPatch):
            raise
        raise BadPatch(str(error)) from error


def _prefix(plan: Plan, base: Base, size: int) -> bytearray:
    prefix, at = bytearray(size), 0
    for each in plan.prefix:
        for start in range(each.start, each.end, PIECE):
            part = base(start, min(PIECE, each.end - start))
            prefix[at : at + len(part)] = part
            at += len(part)
    return prefix


class _Fresh:
    """Pieces of a stream, cut to the lengths that are asked for."""

    def __init__(self, stream: Iterator[bytes]) -> None:
        self._stream = stream
        self._rest = memoryview(b"")

    def take(self, length: int) -> Iterator[memoryview]:
        while length:
            if not self._rest:
                self._rest = memoryview(next(self._stream, b""))
                if not self._rest:
                    raise BadPatch("a segment has fewer fresh bytes than its plan uses")
            piece, self._rest = self._rest[:length], self._rest[length:]
            length -= len(piece)
            yield piece


def _merged(plan: Plan, fresh: _Fresh, base: Base) -> Iterator[bytes]:
    """Yield a segment's bytes in pieces, small ones together."""
    waiting = bytearray()
    for step in plan.steps:
        for part in fresh.take(step.fresh):
            waiting += part
            if len(waiting) >= PIECE:
                yield bytes(waiting)
                waiting.clear()
        start, end = step.copied.start, step.copied.end
        while start < end:
            if not waiting and end - start >= PIECE:
                yield base(start, PIECE)  # as it is: most of a large layer is such
                start += PIECE
                continue
            length = min(end - start, PIECE - len(waiting))
            waiting += base(start, length)
            start += length
            if len(waiting) >= PIECE:
                yield bytes(waiting)
                waiting.clear()
    if waiting:
        yield bytes(waiting)


def _written(plan: Plan) -> bytes:
    numbers: list[int] = [len(plan.prefix)]
    at = 0
    for each in plan.prefix:
        numbers += (_zigzag(each.start - at), each.length)
        at = each.end
    at = 0
    for step in plan.steps:
        numbers += (step.fresh, step.copied.length, _zigzag(step.copied.start - at) if step.copied.length else 0)
        at = step.copied.end if step.copied.length else at
    return b"".join(map(_varint, numbers))


def _read(written: bytes, *, fresh_bytes: int, prefix_bytes: int, base_bytes: int, room: int) -> Plan:
    """Return a plan whose ranges lie in the base and whose sums are what was said; raise `BadPatch`."""
    numbers = _varints(written)
    count = numbers[0] if numbers else 0
    ends = 1 + 2 * count
    if not numbers or ends > len(numbers) or (len(numbers) - ends) % 3:
        raise BadPatch("a plan is cut off")
    ranges, at = [], 0
    for index in range(1, ends, 2):
        each = Range(at + _unzigzag(numbers[index]), numbers[index + 1])
        ranges.append(each)
        at = each.end
    steps, at = [], 0
    for index in range(ends, len(numbers), 3):
        fresh, length, move = numbers[index : index + 3]
        copied = Range(at + _unzigzag(move), length) if length else Range(0, 0)
        steps.append(Step(fresh, copied))
        at = copied.end if length else at
    touched = [*ranges, *(step.copied for step in steps)]
    if any(each.start < 0 or each.end > base_bytes for each in touched):
        raise BadPatch("a plan reaches beyond the base")
    fresh_sum, copied_sum = sum(step.fresh for step in steps), sum(step.copied.length for step in steps)
    if fresh_sum != fresh_bytes or sum(each.length for each in ranges) != prefix_bytes:
        raise BadPatch("a plan has other sums than were said")
    if fresh_sum + copied_sum > room:
        raise BadPatch("the patch makes more than it promises")
    return Plan(ranges, steps)


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _varints(data: bytes) -> list[int]:
    numbers: list[int] = []
    number = shift = 0
    for byte in data:
        number |= (byte & 0x7F) << shift
        if byte & 0x80:
            shift += 7
            if shift > _VARINT_BITS:
                raise BadPatch("a number in a plan is too long")
        else:
            numbers.append(number)
            number = shift = 0
    if shift:
        raise BadPatch("a plan is cut off")
    return numbers


def _zigzag(number: int) -> int:
    return number * 2 if number >= 0 else -number * 2 - 1


def _unzigzag(number: int) -> int:
    return number // 2 if number % 2 == 0 else -(number + 1) // 2


def _exactly(patch: Source, size: int) -> bytes:
    data = patch.read(size)
    if len(data) != size:
        raise BadPatch("the patch is cut off")
    return data


def _raw(digest: str) -> bytes:
    return bytes.fromhex(digest.removeprefix("sha256:"))
