"""A file with a checksum and its predecessor."""

from __future__ import annotations

from pathlib import Path

import pytest

from device.checked_file import CheckedFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "accepted"


def test_nothing_is_read_where_nothing_was_written(path: Path) -> None:
    assert CheckedFile(path).read() is None


def test_what_was_written_is_read_by_whoever_comes_next(path: Path) -> None:
    CheckedFile(path).write(b"one")
    assert CheckedFile(path).read() == b"one"


@pytest.mark.parametrize("at", [0, 7, 8, 39, 40, -1])
def test_a_flipped_byte_anywhere_brings_the_one_before(path: Path, at: int) -> None:
    file = CheckedFile(path)
    file.write(b"one")
    file.write(b"two")
    flipped = bytearray(path.read_bytes())
    flipped[at] ^= 1
    path.write_bytes(flipped)
    assert file.read() == b"one"


@pytest.mark.parametrize("length", [0, 5, 20, 42])
def test_a_torn_file_brings_the_one_before(path: Path, length: int) -> None:
    file = CheckedFile(path)
    file.write(b"one")
    file.write(b"two")
    path.write_bytes(path.read_bytes()[:length])
    assert file.read() == b"one"


def test_a_broken_file_without_a_predecessor_holds_nothing(path: Path) -> None:
    path.write_bytes(b"garbage")
    assert CheckedFile(path).read() is None


def test_a_broken_file_does_not_become_the_predecessor(path: Path) -> None:
    file = CheckedFile(path)
    file.write(b"one")
    file.write(b"two")
    path.write_bytes(b"garbage")
    file.write(b"three")
    path.write_bytes(b"garbage again")
    assert file.read() == b"one"


def test_writing_the_same_again_keeps_the_predecessor(path: Path) -> None:
    file = CheckedFile(path)
    file.write(b"one")
    file.write(b"two")
    file.write(b"two")
    path.write_bytes(b"garbage")
    assert file.read() == b"one"


def test_a_file_that_cannot_be_read_brings_the_one_before(path: Path) -> None:
    # A bad sector raises EIO; a folder in the file's place is the nearest thing a test can make.
    file = CheckedFile(path)
    file.write(b"one")
    file.write(b"two")
    path.unlink()
    path.mkdir()
    assert file.read() == b"one"
