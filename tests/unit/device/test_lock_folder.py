"""Reading a folder that an app may do anything in."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from device.platform import lock_folder
from device.platform.lock_text import SECONDS_DEFAULT


def a_pipe(place: Path) -> None:
    os.mkfifo(place)


def a_folder(place: Path) -> None:
    place.mkdir()


def a_link_to_a_secret(place: Path) -> None:
    secret = place.with_name("secret")
    secret.write_text("owner=root\n")
    place.symlink_to(secret)


def a_link_to_itself(place: Path) -> None:
    place.symlink_to(place)


def a_device(place: Path) -> None:
    try:
        os.mknod(place, stat.S_IFCHR | 0o666, os.makedev(1, 5))  # /dev/zero: it would never end
    except PermissionError:
        pytest.skip("only root may make devices")


def a_socket(place: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(place))


@pytest.mark.parametrize("harm", [a_pipe, a_folder, a_link_to_a_secret, a_link_to_itself, a_device, a_socket])
def test_what_is_no_plain_file_is_no_lock(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    harm(tmp_path / "update")
    assert lock_folder.read(tmp_path) is None


def test_a_device_is_not_even_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_device(tmp_path / "update")
    real, opened = os.open, []

    def noting(path: str | Path, flags: int, *rest: int) -> int:
        opened.append(flags)
        return real(path, flags, *rest)

    monkeypatch.setattr(os, "open", noting)
    assert lock_folder.read(tmp_path) is None
    assert all(flags & os.O_PATH for flags in opened)


def test_a_folder_that_is_missing_or_a_file_is_no_lock(tmp_path: Path) -> None:
    assert lock_folder.read(tmp_path / "none") is None
    (tmp_path / "file").write_text("")
    assert lock_folder.read(tmp_path / "file") is None


def test_of_a_huge_file_only_the_beginning_is_read(tmp_path: Path) -> None:
    with (tmp_path / "update").open("wb") as file:
        file.write(b"owner=big\n")
        file.truncate(1 << 40)
        file.seek(1 << 39)
        file.write(b"\nseconds=5\n")
    wish = lock_folder.read(tmp_path)
    assert wish is not None
    assert (wish.owner, wish.seconds) == ("big", SECONDS_DEFAULT)


def test_a_file_that_is_written_again_with_the_same_words_is_another_lock(tmp_path: Path) -> None:
    values = set()
    for n in range(3):
        fresh = tmp_path / f"fresh-{n}"
        fresh.write_text("seconds=60\n")
        os.utime(fresh, ns=(n, n))
        fresh.replace(tmp_path / "update")
        wish = lock_folder.read(tmp_path)
        assert wish is not None
        values.add(wish.value)
    assert len(values) == 3


def test_services_of_any_user_may_write_and_nothing_is_left_afterwards(tmp_path: Path) -> None:
    folder = tmp_path / "iaaaaaaaaaaa"
    lock_folder.prepare(folder)
    lock_folder.prepare(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o777
    outside = tmp_path / "outside"
    outside.mkdir()
    (folder / "link").symlink_to(outside)
    (folder / "deep").mkdir()
    (folder / "deep" / "file").write_text("x")
    lock_folder.discard(folder)
    assert not folder.exists()
    assert outside.is_dir()
