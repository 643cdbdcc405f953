"""What is inside a batch."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.compression import compress
from broker.errors import Refused
from broker.messages import Batch, Conn, Gap, Instant
from broker.payloads import (
    BYTES_MAX,
    ELEMENTS_MAX,
    Line,
    Sample,
    counted,
    numbers,
    pack_lines,
    pack_samples,
    unpack_lines,
    unpack_samples,
)

times = st.integers(0, 2**63 - 1)
texts = st.text(max_size=8)
samples = st.lists(st.builds(Sample, times, st.dictionaries(texts, texts, max_size=3)), max_size=5)
lines = st.lists(st.builds(Line, times, texts, st.sampled_from(["out", "err"]), texts), max_size=5)


@settings(deadline=None, max_examples=25)
@given(samples)
def test_samples_come_out_as_they_went_in(sent: list[Sample]) -> None:
    assert unpack_samples(pack_samples(sent)) == sent


@settings(deadline=None, max_examples=25)
@given(lines)
def test_lines_come_out_as_they_went_in(sent: list[Line]) -> None:
    assert unpack_lines(pack_lines(sent)) == sent


def packed(plain: object) -> bytes:
    return compress(msgpack.packb(plain), level=1)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "malformed"),
        (b"no zstd", "malformed"),
        (compress(b"\xc1", level=1), "malformed"),
        (packed({"a": 1}), "invalid"),
        (packed([1]), "invalid"),
        (packed([[1]]), "invalid"),
        (packed([[-1, {}]]), "invalid"),
        (packed([[2**63, {}]]), "invalid"),
        (packed([[1, {"a": 1}]]), "invalid"),
        (packed([[1, {}]] * (ELEMENTS_MAX + 1)), "too_large"),
        (compress(bytes(BYTES_MAX + 1), level=1), "too_large"),
    ],
)
def test_anything_else_is_refused_with_a_reason(payload: bytes, reason: str) -> None:
    with pytest.raises(Refused) as refused:
        unpack_samples(payload)
    assert refused.value.reason == reason


def test_the_most_elements_a_batch_may_have_are_read() -> None:
    assert len(unpack_samples(packed([[1, {}]] * ELEMENTS_MAX))) == ELEMENTS_MAX


def test_lines_are_no_samples() -> None:
    with pytest.raises(Refused):
        unpack_samples(pack_lines([Line(1, "web", "out", "x")]))


def test_elements_fill_the_numbers_that_no_gap_covers() -> None:
    assert numbers(5, 12, [(7, 8), (12, 12)]) == [5, 6, 9, 10, 11]


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 50), st.integers(0, 20), st.data())
def test_a_batch_counts_as_many_elements_as_it_has_numbers(first: int, more: int, data: st.DataObject) -> None:
    last = first + more
    covered = sorted(data.draw(st.sets(st.integers(first, last), max_size=5)))
    gaps = tuple(Gap(first=n, last=n, cause="lost") for n in covered)
    batch = Batch(
        conn=Conn(boot="0" * 32, count=1), n=1, stream="telemetry:a", epoch=1, first=first, last=last,
        at=Instant(boot="0" * 32, mono_ms=1, wall_ms=1), format="samples.v1", gaps=gaps,
    )  # fmt: skip
    assert counted(batch) == len(numbers(first, last, [(n, n) for n in covered])) == more + 1 - len(covered)
