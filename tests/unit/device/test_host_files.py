"""Configs and secrets on the device's disk: there when a container is made, gone when no container has them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from device.engine.host_files import HostFiles
from device.engine.port import EngineRefused, FileInside, WantedContainer
from device.reconcile.wanted import wanted
from tests.harness.apps import PLACE, section, service

BARE = wanted(section({"web": service()}), PLACE).containers["web"]


def container(name: str = "a", *, mode: int = 0o440, data: bytes = b"sesame") -> WantedContainer:
    return replace(
        BARE, hash=f"sha256:{name}", files=(FileInside("/run/secrets/s", data, mode=mode), FileInside("/c", b""))
    )


@pytest.fixture
def in_use() -> set[str]:
    return set()


@pytest.fixture
def files(tmp_path: Path, in_use: set[str]) -> HostFiles:
    return HostFiles(tmp_path / "files", in_use=lambda: frozenset(in_use))


def names(files: HostFiles) -> list[str]:
    assert files.folder is not None
    return sorted(entry.name for entry in files.folder.iterdir())


def test_files_become_mounts_that_cannot_be_written(files: HostFiles) -> None:
    with files.placed(container()) as placed:
        mounts = placed.mounts[len(BARE.mounts) :]
    assert [(mount.type, mount.target, mount.read_only) for mount in mounts] == [
        ("bind", "/run/secrets/s", True),
        ("bind", "/c", True),
    ]
    secret = Path(mounts[0].source)
    assert (secret.read_bytes(), oct(secret.stat().st_mode & 0o777)) == (b"sesame", "0o440")
    assert oct(secret.parent.parent.stat().st_mode & 0o777) == "0o700"


def test_a_container_without_files_touches_no_disk(files: HostFiles) -> None:
    with files.placed(BARE) as placed:
        assert placed is BARE
    assert files.folder is not None
    assert not files.folder.exists()


def test_equal_containers_share_their_files(files: HostFiles) -> None:
    with files.placed(container()) as one, files.placed(container()) as other:
        assert one.mounts == other.mounts
    assert names(files) == ["a"]


def test_what_no_container_has_is_deleted_and_what_one_has_stays(files: HostFiles, in_use: set[str]) -> None:
    for name in ("a", "b"):
        with files.placed(container(name)):
            pass
    in_use.add("sha256:b")
    files.forget()
    assert names(files) == ["b"]
    in_use.clear()
    files.forget()
    assert names(files) == []


def test_what_is_being_made_stays(files: HostFiles) -> None:
    with files.placed(container()):
        files.forget()
        assert names(files) == ["a"]


def test_what_is_begun_and_done_while_the_engine_is_asked_stays(tmp_path: Path) -> None:
    def asked() -> frozenset[str]:
        with made.placed(container("new")):  # and its container is made, too late for this answer
            pass
        return frozenset()

    made = HostFiles(tmp_path / "files", in_use=asked)
    for name in ("old", "new"):
        with made.placed(container(name)):
            pass
    made.forget()
    assert names(made) == ["new"]


def test_the_engine_is_not_asked_where_there_are_no_files(tmp_path: Path) -> None:
    def asked() -> frozenset[str]:
        raise AssertionError

    HostFiles(tmp_path / "files", in_use=asked).forget()
    HostFiles(None, in_use=asked).forget()


def test_what_a_killed_worker_left_behind_is_no_obstacle_and_goes(files: HostFiles) -> None:
    assert files.folder is not None
    (files.folder / "a.1.new").mkdir(parents=True)
    (files.folder / "b.gone").mkdir()
    with files.placed(container()) as placed:
        assert Path(placed.mounts[-2].source).read_bytes() == b"sesame"
    files.forget()
    assert names(files) == []


def test_without_a_place_for_files_a_container_with_some_is_refused() -> None:
    with pytest.raises(EngineRefused, match="no place"), HostFiles(None, in_use=frozenset).placed(container()):
        pass
