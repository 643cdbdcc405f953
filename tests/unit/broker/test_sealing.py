"""Sealed values: for one key, of one thing, and for nobody and nothing else."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import Refused
from broker.sealing import ABOUT_CHARS_MAX, OVERHEAD_BYTES, Opener, about_secret, seal

MINE, OTHER = Opener(b"m" * 32), Opener(b"o" * 32)
ABOUT = about_secret("aaaaaaaaaaaa", "password")


@given(st.binary(max_size=300), st.text(max_size=ABOUT_CHARS_MAX // 4))
def test_what_is_sealed_opens_as_it_was(value: bytes, about: str) -> None:
    assert MINE.open(about, seal(MINE.public, about, value)) == value


def test_a_seal_is_another_each_time_and_a_little_longer() -> None:
    one, two = seal(MINE.public, ABOUT, b"sesame"), seal(MINE.public, ABOUT, b"sesame")
    assert one != two
    assert len(one) == OVERHEAD_BYTES + 2 + len(ABOUT) + len(b"sesame")


def test_only_the_key_it_was_sealed_to_opens_it() -> None:
    with pytest.raises(Refused, match="not sealed to this key"):
        OTHER.open(ABOUT, seal(MINE.public, ABOUT, b"sesame"))


@pytest.mark.parametrize("about", ["aaaaaaaaaaaa/passwor", "aaaaaaaaaaaa/password2", "bbbbbbbbbbbb/password", ""])
def test_in_the_place_of_another_secret_it_does_not_open(about: str) -> None:
    with pytest.raises(Refused, match="another secret"):
        MINE.open(about, seal(MINE.public, ABOUT, b"2sesame"))


@given(st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_a_changed_byte_is_noticed(place: int, change: int) -> None:
    sealed = bytearray(seal(MINE.public, ABOUT, b"sesame"))
    sealed[place % len(sealed)] ^= change
    with pytest.raises(Refused):
        MINE.open(ABOUT, bytes(sealed))


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(Refused):
        MINE.open(ABOUT, data)
    with contextlib.suppress(Refused):
        seal(data, ABOUT, b"")


@pytest.mark.parametrize("key", [b"", b"k" * 31, b"k" * 33, b"\xff" * 32])
def test_what_is_no_key_is_refused(key: bytes) -> None:
    with pytest.raises(Refused, match="not an Ed25519 public key"):
        seal(key, ABOUT, b"sesame")
