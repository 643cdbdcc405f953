"""Patches between tars: what they make, what they refuse, and what they cost."""

from __future__ import annotations

import contextlib
import hashlib
import io
import random

import pytest

from broker.patches import BadPatch, Head, Plan, Range, Step, applied, packed_segment, read_head

OLD = random.Random(1).randbytes(20_000)  # noqa: S311 - any bytes
NEW = OLD[:5_000] + b"something else" + OLD[9_000:] + OLD[:1_000]
PLAN = Plan(
    prefix=[Range(4_000, 2_000)],
    steps=[Step(0, Range(0, 5_000)), Step(14, Range(9_000, 11_000)), Step(0, Range(0, 1_000))],
)


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def base(start: int, length: int) -> bytes:
    return OLD[start : start + length]


def head(**changes: int | str) -> Head:
    known: dict[str, int | str] = {
        "base": digest(OLD),
        "base_bytes": len(OLD),
        "result": digest(NEW),
        "result_bytes": len(NEW),
    }
    return Head(**(known | changes))  # type: ignore[arg-type]


def patch(plan: Plan = PLAN, fresh: bytes = b"something else", **changes: int | str) -> bytes:
    return head(**changes).packed() + packed_segment(plan, fresh, base, level=3)


def made(data: bytes) -> bytes:
    file = io.BytesIO(data)
    return b"".join(applied(file, base, head=read_head(file)))


def test_a_patch_makes_the_result() -> None:
    assert made(patch()) == NEW


def test_a_patch_of_several_segments_makes_the_result() -> None:
    first = packed_segment(Plan([], [Step(0, Range(0, 5_000))]), b"", base, level=3)
    rest = packed_segment(Plan(PLAN.prefix, PLAN.steps[1:]), b"something else", base, level=3)
    assert made(head().packed() + first + rest) == NEW


def test_what_the_base_has_too_costs_little() -> None:
    fresh = OLD[:6_000] + b"!" + OLD[6_000:12_000]
    plan = Plan([Range(0, 12_000)], [Step(len(fresh), Range(0, 0))])
    data = patch(plan, fresh, result=digest(fresh), result_bytes=len(fresh))
    assert made(data) == fresh
    assert len(data) < 250


def test_another_base_is_noticed_by_the_digest_of_the_result() -> None:
    file = io.BytesIO(patch())
    with pytest.raises(BadPatch, match="the base is not"):
        list(applied(file, lambda start, length: bytes(length), head=read_head(file)))


@pytest.mark.parametrize("at", range(0, 200, 7))
def test_a_flipped_bit_never_makes_another_result(at: int) -> None:
    data = bytearray(patch())
    data[at % len(data)] ^= 4
    with contextlib.suppress(BadPatch):
        assert made(bytes(data)) == NEW  # the base's digest in the head is the device's to compare


@pytest.mark.parametrize("length", [0, 50, 90, 100, 120, -1])
def test_a_patch_that_is_cut_off_is_refused(length: int) -> None:
    with pytest.raises(BadPatch, match="cut off"):
        made(patch()[:length])


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"NOPATCH1" + patch()[8:], "no patch"),
        (patch() + b"x", "follow the last segment"),
        (patch(Plan([Range(19_999, 2)], PLAN.steps)), "beyond the base|other sums"),
        (patch(Plan([], [Step(14, Range(19_000, 1_001))])), "beyond the base"),
        (patch(Plan([], [Step(13, Range(0, 1))])), "other sums"),
        (patch(result_bytes=10), "more than it promises"),
        (patch(result_bytes=2**40), "may be"),
        (patch(base_bytes=500), "beyond the base"),
        (head().packed() + packed_segment(Plan([], []), b"", base, level=3), "makes nothing"),
    ],
)
def test_what_is_wrong_with_a_patch_is_said(data: bytes, why: str) -> None:
    with pytest.raises(BadPatch, match=why):
        made(data)


@pytest.mark.parametrize("number", range(5))
def test_a_segment_says_no_size_beyond_the_limits(number: int) -> None:
    data = bytearray(patch())
    at = len(head().packed()) + 4 * number
    data[at : at + 4] = b"\xff\xff\xff\xff"
    with pytest.raises(BadPatch, match=r"larger than|costs more"):
        made(bytes(data))


def test_a_small_patch_cannot_make_the_device_read_for_ever() -> None:
    plan = Plan([Range(0, 20_000)] * 600, [Step(1, Range(0, 0))])
    segment = packed_segment(plan, b"x", base, level=3)
    with pytest.raises(BadPatch, match="costs more than it is worth"):
        made(head(result_bytes=20_000_000, result=digest(b"")).packed() + segment * 30)
