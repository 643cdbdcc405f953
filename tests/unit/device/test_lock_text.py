"""What an app writes into its lock, and what is made of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from device.platform.lock_text import CHARS_MAX, SECONDS_DEFAULT, wish_of


def read(content: bytes) -> tuple[str, str, float]:
    wish = wish_of(content, identity="1")
    return wish.owner, wish.reason, wish.seconds


def test_a_file_says_who_why_and_for_how_long() -> None:
    assert read(b"owner=backup\nreason=copying the database\nseconds=90\n") == ("backup", "copying the database", 90.0)


def test_an_empty_file_is_a_lock_with_defaults() -> None:
    assert read(b"") == ("app", "", SECONDS_DEFAULT)


@pytest.mark.parametrize("seconds", [b"", b"-1", b"1e9", b"nan", b"inf", b"soon", b"9" * 10, b"0x10", b"1\x002"])
def test_seconds_that_are_no_number_are_the_default(seconds: bytes) -> None:
    assert read(b"seconds=" + seconds)[2] == SECONDS_DEFAULT


@pytest.mark.parametrize(("seconds", "meant"), [(b"0", 0.0), (b"1.5", 1.5), (b"999999999", 999_999_999.0)])
def test_seconds_may_be_any_plain_number(seconds: bytes, meant: float) -> None:
    assert read(b"seconds=" + seconds)[2] == meant


def test_what_a_terminal_would_obey_is_left_out() -> None:
    assert read(b"owner=\x1b[31mred\x07\nreason=a\tb\x7f\xff\xfec\n")[:2] == ("[31mred", "a b c")


def test_the_first_of_two_lines_counts_and_others_are_ignored() -> None:
    assert read(b"colour=blue\nowner=a\nowner=b\nnothing\n=\n")[0] == "a"


def test_what_was_written_again_is_another_value() -> None:
    values = {wish_of(content, identity=identity).value for content in (b"a", b"b") for identity in ("1", "2")}
    assert len(values) == 4


@given(st.binary(max_size=10_000))
def test_any_bytes_give_short_texts_without_control_characters(content: bytes) -> None:
    owner, reason, seconds = read(content)
    assert owner
    assert len(owner) <= CHARS_MAX
    assert len(reason) <= CHARS_MAX
    assert (owner + reason).isprintable() or all(ord(c) > 0xA0 for c in owner + reason if not c.isprintable())
    assert 0 <= seconds < 1e9
