"""What is inside a batch."""

from __future__ import annotations

import os

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
    pack_rows,
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


numbers_as_text = st.from_regex(rb"-?[0-9]{1,14}(\.[0-9]{0,6})?\n?", fullmatch=True) | st.sampled_from(
    [b"-0", b"-0.00", b"0.0", b"00", b"1.", b".5", b"+1", b"1e3", b"\xff", b"", b"1\n2"]
)


@settings(deadline=None, max_examples=200)
@given(st.integers(1, 4).flatmap(lambda n: st.lists(st.lists(numbers_as_text, min_size=n, max_size=n), max_size=6)))
def test_columns_of_what_looks_like_numbers_come_out_byte_for_byte(rows: list[list[bytes]]) -> None:
    named = [[part for n, value in enumerate(row) for part in (b"\xfe%d" % n, value)] for row in rows]
    found = unpack_samples(pack_rows(list(range(len(rows))), named))
    assert [[os.fsencode(value) for value in sample.fields.values()] for sample in found] == rows
    assert [sample.at_ms for sample in found] == list(range(len(rows)))


@given(st.lists(st.decimals(-1000, 1000, places=2).map(lambda value: str(value).encode()), min_size=2, max_size=9))
def test_decimals_of_one_length_come_out_as_they_went_in(values: list[bytes]) -> None:
    found = unpack_samples(pack_rows([5] * len(values), [[b"t", value] for value in values]))
    assert [sample.fields["t"].encode() for sample in found] == values


def test_numbers_that_change_little_take_little() -> None:
    values = [b"%d.%02d" % divmod(2000 + n % 7, 100) for n in range(1000)]
    assert len(pack_rows(list(range(1000)), [[b"temperature", value] for value in values])) < 200


def packed(plain: object) -> bytes:
    return compress(msgpack.packb(plain, use_bin_type=False), level=1)


def shaped(*columns: object, steps: object = (1, 1), places: object = ()) -> bytes:
    return packed([steps, [[["a"] * len(columns), columns]], places])


HUGE = "x" * (BYTES_MAX // 100)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "malformed"),
        (b"no zstd", "malformed"),
        (compress(b"\xc1", level=1), "malformed"),
        (packed({"a": 1}), "malformed"),
        (packed([1]), "invalid"),
        (packed([[], [], []][:2]), "invalid"),
        (packed([["1"], [], []]), "invalid"),
        (packed([[True], [[[], []]], []]), "invalid"),
        (packed([[1], [], []]), "invalid"),
        (packed([[1], [[[], []]], [1]]), "invalid"),
        (packed([[1], [[[], []]], [-1]]), "invalid"),
        (packed([[1], [[[], []]] * 2, [0]]), "invalid"),
        (packed([[1], [[[], []]], ["0"]]), "invalid"),
        (packed([[1], [[["a"], []]], []]), "invalid"),
        (packed([[1], [[[1], [[0, "x"]]]], []]), "invalid"),
        (packed([[1], [5], []]), "invalid"),
        (shaped([0, "x"], steps=(-1, 2)), "invalid"),
        (shaped([0, "x"], steps=(2**63 - 1, 1)), "invalid"),
        (shaped([0, 1]), "invalid"),
        (shaped([4, "x"]), "invalid"),
        (shaped([]), "invalid"),
        (shaped([1, ["x"]]), "invalid"),
        (shaped([1, ["x", 1]]), "invalid"),
        (shaped([2, 0, 1, []]), "invalid"),
        (shaped([2, 0, 1, ["1"]]), "invalid"),
        (shaped([2, 6, 1, [1]]), "invalid"),
        (shaped([2, -1, 1, [1]]), "invalid"),
        (shaped([2, [1], 1, [1]]), "invalid"),
        (shaped([2, [1, "1"], 1, [1]]), "invalid"),
        (shaped([3, 0, 1, [1]]), "invalid"),
        (shaped([3, 0, "1", [1, 1]]), "invalid"),
        (shaped([0, HUGE], steps=(1,) * 101), "too_large"),
        (shaped(*([0, ""] for _ in range(100)), steps=(1,) * 9000), "too_large"),
        (shaped(steps=(1,) * (ELEMENTS_MAX + 1)), "too_large"),
        (compress(bytes(BYTES_MAX + 1), level=1), "too_large"),
    ],
)
def test_anything_else_is_refused_with_a_reason(payload: bytes, reason: str) -> None:
    with pytest.raises(Refused) as refused:
        unpack_samples(payload)
    assert refused.value.reason == reason


def test_the_most_elements_a_batch_may_have_are_read() -> None:
    assert len(unpack_samples(shaped(steps=(1,) * ELEMENTS_MAX))) == ELEMENTS_MAX


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
        at=Instant(boot="0" * 32, mono_ms=1, wall_ms=1), format="samples.v2", gaps=gaps,
    )  # fmt: skip
    assert counted(batch) == len(numbers(first, last, [(n, n) for n in covered])) == more + 1 - len(covered)
