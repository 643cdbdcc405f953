"""Layers on their way: whatever they are packed by, the same tar comes out; what is broken is named."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.canonical import digest
from broker.compression import compress
from broker.errors import Refused
from broker.layers import PIECE, measured, unpacked

TAR = bytes(range(256)) * 9000  # a few pieces


def chunked(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def two_members(tar: bytes) -> bytes:
    return gzip.compress(tar[:100]) + gzip.compress(tar[100:]) + bytes(512)


def two_frames(tar: bytes) -> bytes:
    return compress(tar[:100], level=3) + compress(tar[100:], level=3)


PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "gzip in members": two_members,
    "zstd": lambda tar: compress(tar, level=3),
    "zstd in frames": two_frames,
    "plain": lambda tar: tar,
}


@pytest.mark.parametrize("chunk", [1, 7, 65536, 10_000_000])
@pytest.mark.parametrize("packing", PACKINGS)
def test_the_same_tar_comes_out_whatever_a_layer_is_packed_by(packing: str, chunk: int) -> None:
    tar = TAR[:3000] if chunk < 10 else TAR
    sent = PACKINGS[packing](tar)
    found = measured(chunked(sent, chunk))
    assert (found.digest, found.diff_id, found.unpacked_bytes) == (digest(sent), digest(tar), len(tar))


@given(st.binary(max_size=2000), st.sampled_from(["gzip", "zstd"]), st.integers(1, 50))
def test_any_content_survives(content: bytes, packing: str, chunk: int) -> None:
    sent = PACKINGS[packing](content)
    assert b"".join(unpacked(chunked(sent, chunk))) == content


@pytest.mark.parametrize("packing", ["gzip", "zstd"])
def test_a_layer_that_is_cut_off_is_refused(packing: str) -> None:
    sent = PACKINGS[packing](TAR)
    for end in (len(sent) - 1, len(sent) // 2, 10):
        with pytest.raises(Refused, match="cut off"):
            measured([sent[:end]])


@pytest.mark.parametrize("packing", ["gzip", "zstd"])
def test_a_broken_stream_is_refused_with_one_reason(packing: str) -> None:
    sent = bytearray(PACKINGS[packing](TAR))
    sent[8:200] = bytes(192)
    with pytest.raises(Refused) as refused:
        measured([bytes(sent)])
    assert refused.value.reason == "bad_layer"


@pytest.mark.parametrize("packing", ["gzip", "zstd"])
def test_a_bomb_is_stopped_at_the_limit_in_bounded_memory(packing: str) -> None:
    bomb = (
        gzip.compress(bytes(64 * 1024 * 1024), 9) if packing == "gzip" else compress(bytes(64 * 1024 * 1024), level=3)
    )
    tracemalloc.start()
    with pytest.raises(Refused, match="more than"):
        measured([bomb], size_max=32 * 1024 * 1024)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 * PIECE


def test_what_is_no_compressed_stream_is_taken_as_a_tar() -> None:
    assert measured([b""]).unpacked_bytes == 0
    assert measured([b"\x1f"]).unpacked_bytes == 1
    assert measured([zlib.compress(b"x")]).diff_id == digest(zlib.compress(b"x"))
