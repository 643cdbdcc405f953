"""zstd with a bound on what may come out."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.compression import compress, decompress
from broker.errors import Refused

FRAME = compress(b"x" * 1000, level=9)


def reason(body: bytes, size_max: int = 1000) -> str:
    with pytest.raises(Refused) as refused:
        decompress(body, size_max)
    return refused.value.reason


@settings(deadline=None, max_examples=25)
@given(st.binary(max_size=2000), st.integers(1, 19))
def test_what_was_compressed_comes_out_again(data: bytes, level: int) -> None:
    assert decompress(compress(data, level=level), len(data)) == data


def test_content_of_exactly_the_bound_is_read_and_one_byte_more_is_refused() -> None:
    assert len(decompress(FRAME, 1000)) == 1000
    assert reason(FRAME, 999) == "too_large"


def test_a_frame_that_is_cut_off_is_refused_wherever_it_was_cut() -> None:
    assert {reason(FRAME[:length]) for length in range(len(FRAME))} == {"malformed"}


def test_a_frame_that_is_cut_off_after_its_content_is_refused_too() -> None:
    # All of the content is there; only the frame's checksum or last block mark is missing.
    frame = compress(bytes(range(256)), level=1)
    assert reason(frame[:-1]) == "malformed"


@pytest.mark.parametrize("more", [b"x", FRAME])
def test_what_follows_a_frame_is_refused(more: bytes) -> None:
    assert reason(FRAME + more) == "malformed"


def test_other_bytes_are_refused() -> None:
    assert reason(b"no zstd") == "malformed"
    assert reason(b"") == "malformed"
