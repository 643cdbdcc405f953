"""Durable writes: old or new, whole, and in the order that survives a power cut."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from broker.files import StorageUnavailable, sync_folder, write_durably


class PowerCut(BaseException):
    """The machine is gone at this instruction."""


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record what is synced and renamed, in order."""
    made: list[str] = []
    real_sync, real_rename = os.fsync, Path.rename

    def sync(descriptor: int) -> None:
        made.append("sync " + Path(f"/proc/self/fd/{descriptor}").readlink().name)
        real_sync(descriptor)

    def rename(self: Path, target: Path) -> Path:
        made.append(f"rename {self.name} {Path(target).name}")
        return real_rename(self, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(Path, "rename", rename)
    return made


def test_the_content_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_durably(path, b"a longer old content")
    write_durably(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_content_is_on_disk_before_its_name_and_the_name_before_it_is_said(tmp_path: Path, calls: list[str]) -> None:
    write_durably(tmp_path / "file", b"new")
    assert calls == ["sync file.new", "rename file.new file", f"sync {tmp_path.name}"]


@pytest.mark.parametrize("step", ["write", "fsync", "rename"])
def test_a_crash_before_the_rename_keeps_the_old_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "file"
    write_durably(path, b"old")

    def cut(*_: object, **__: object) -> None:
        raise PowerCut

    with monkeypatch.context() as patched:
        patched.setattr(*{"write": (os, "fchmod"), "fsync": (os, "fsync"), "rename": (Path, "rename")}[step], cut)
        with pytest.raises(PowerCut):
            write_durably(path, b"new")
    assert path.read_bytes() == b"old"
    write_durably(path, b"newer")
    assert path.read_bytes() == b"newer"


def test_a_full_disk_is_told_with_the_file_and_the_old_content_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_durably(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageUnavailable, match=r"cannot write .*/file: No space left on device"):
        write_durably(path, b"new")
    assert path.read_bytes() == b"old"


def test_what_a_crash_left_behind_does_not_get_into_the_next_content(tmp_path: Path) -> None:
    (tmp_path / "file.new").write_bytes(b"left behind, and longer than what comes")
    write_durably(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"new"


def test_a_file_is_private_unless_it_is_asked_to_be_open(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        write_durably(tmp_path / "key", b"")
        write_durably(tmp_path / "ca", b"", mode=0o644)
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("key", "ca")] == [0o600, 0o644]


def test_a_write_into_a_folder_that_is_gone_says_so(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable, match=r"cannot write .*/gone/file: No such file or directory"):
        write_durably(tmp_path / "gone" / "file", b"")
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        sync_folder(tmp_path / "file")
