"""Which display there is, and what a container gets of it."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from device.engine.port import BindOrVolume
from device.platform.display import COOKIE_FOLDER, WAYLAND_SOCKET, X11_FOLDER, Display, Found, Places
from device.platform.xauthority import WILD, entries
from tests.unit.device.test_xauthority import entry, packed


class Screen:
    """A place for sockets, and which of them somebody listens on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.x11 = folder / "x11"
        self.run = folder / "run"
        self.cookies = folder / "Xauthority"
        self.x11.mkdir()
        self.run.mkdir()
        self.live: set[Path] = set()

    def display(self, **named: str) -> Display:
        named = {"xauthority": str(self.cookies)} | named
        places = Places(x11_folder=self.x11, run_folder=self.run, **named)
        return Display(self.folder / "copy", places, answers=lambda path: path in self.live)

    def x(self, number: int) -> None:
        (self.x11 / f"X{number}").touch()
        self.live.add(self.x11 / f"X{number}")

    def wayland(self, user: str = "1000", name: str = "wayland-0") -> Path:
        (self.run / user).mkdir(exist_ok=True)
        path = self.run / user / name
        path.touch()
        self.live.add(path)
        return path


@pytest.fixture
def screen(tmp_path: Path) -> Screen:
    return Screen(tmp_path)


def test_without_a_display_there_is_nothing(screen: Screen) -> None:
    assert not screen.display().look()


def test_the_lowest_display_that_answers_is_taken(screen: Screen) -> None:
    for number in (10, 9, 2):
        screen.x(number)
    screen.live.remove(screen.x11 / "X2")
    (screen.x11 / "readme").touch()
    assert screen.display().look() == Found(
        {"DISPLAY": ":9"}, (BindOrVolume("bind", X11_FOLDER, source=str(screen.x11), read_only=True),)
    )


def test_what_the_owner_names_is_taken_or_nothing(screen: Screen) -> None:
    screen.x(0)
    screen.x(3)
    assert screen.display(x11=":3.0").look().environment == {"DISPLAY": ":3"}
    assert not screen.display(x11=":4").look()


def test_the_cookie_is_copied_for_any_host_and_for_any_user_of_the_container(screen: Screen) -> None:
    screen.x(0)
    screen.cookies.write_bytes(packed(entry("0")))
    found = screen.display().look()
    assert found.environment["XAUTHORITY"] == f"{COOKIE_FOLDER}/Xauthority"
    assert BindOrVolume("bind", COOKIE_FOLDER, source=str(screen.folder / "copy"), read_only=True) in found.mounts
    copy = screen.folder / "copy" / "Xauthority"
    assert [each.family for each in entries(copy.read_bytes())] == [WILD]
    assert stat.S_IMODE(copy.stat().st_mode) == 0o644


def test_a_new_cookie_reaches_containers_that_run(screen: Screen) -> None:
    screen.x(0)
    screen.cookies.write_bytes(packed(entry("0")))
    display = screen.display()
    before = display.look()
    screen.cookies.write_bytes(packed(entry("0", b"new" * 5)))
    assert display.look() == before
    assert [each.data for each in entries((screen.folder / "copy" / "Xauthority").read_bytes())] == [b"new" * 5]


def test_a_display_server_that_is_starting_again_changes_nothing(screen: Screen) -> None:
    screen.x(0)
    screen.wayland()
    screen.cookies.write_bytes(packed(entry("0")))
    display = screen.display()
    before = display.look()
    screen.live.clear()
    screen.cookies.unlink()
    assert display.look() == before


def test_a_wayland_socket_is_mounted_alone_and_a_new_one_is_another_display(screen: Screen) -> None:
    path = screen.wayland()
    display = screen.display()
    before = display.look()
    assert before.mounts == (BindOrVolume("bind", WAYLAND_SOCKET, source=str(path), read_only=True),)
    assert before.environment["WAYLAND_DISPLAY"] == WAYLAND_SOCKET
    path.rename(path.with_name("kept"))  # so that its number is not given again
    screen.wayland()
    assert display.look().environment["SKERRY_WAYLAND_ID"] != before.environment["SKERRY_WAYLAND_ID"]


def test_a_socket_that_nobody_listens_on_and_a_file_are_no_displays(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    folder.mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(folder / "X0"))
    (folder / "X1").touch()
    (folder / "X2").symlink_to(folder / "X3")
    with socket.socket(socket.AF_UNIX) as live:
        live.bind(str(folder / "X3"))
        live.listen()
        found = Display(tmp_path, Places(x11_folder=folder, run_folder=tmp_path)).look()
    assert found.environment["DISPLAY"] == ":3"


def test_the_workers_own_cookies_are_used_where_the_owner_names_none(
    screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen.x(0)
    screen.cookies.write_bytes(packed(entry("0")))
    monkeypatch.setitem(os.environ, "XAUTHORITY", str(screen.cookies))
    assert "XAUTHORITY" in screen.display(xauthority="").look().environment
