"""A device whose disk is full: what runs goes on, it says what is wrong, and with room again it goes on by itself."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.harness.small_disk import SmallDisk, small_disk
from tests.harness.stage import Stage

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a file system of its own")

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallDisk]:
    with small_disk(tmp_path_factory.mktemp("d") / "disk", megabytes=192) as made:
        yield made


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, disk: SmallDisk) -> Iterator[Stage]:
    made = Stage(tmp_path_factory.mktemp("s"), state=disk.mount / "d0")
    try:
        made.begin()
        made.deploy_and_settle()
        yield made
    finally:
        disk.make_room()
        made.end()


def message(stage: Stage) -> str:
    """Return what the device says about the app."""
    status = stage.show().get("status") or {"instances": []}
    return " ".join(str(item) for item in status["instances"])


def test_without_room_for_an_image_it_says_so_in_figures_and_fetches_it_once_there_is_room(
    stage: Stage, disk: SmallDisk
) -> None:
    disk.leave(40 * MIB)
    stage.deploy(greeting="two", image="two")
    stage.until(lambda: "MiB are free" in message(stage), "the cloud shows what room is missing")
    assert stage.page() == "one"
    disk.make_room()
    stage.settle("two", timeout_s=120)


def test_without_a_byte_left_it_says_so_and_takes_up_the_next_release_once_there_is_room(
    stage: Stage, disk: SmallDisk
) -> None:
    disk.leave(0)
    stage.deploy(greeting="three", image="three")
    stage.until(lambda: stage.condition("StateWritable").get("status") is False, "the cloud shows the full disk")
    assert "No space left on device" in stage.condition("StateWritable")["message"]
    assert stage.page() == "two"
    disk.make_room()
    stage.settle("three", timeout_s=120)
    stage.until(lambda: stage.condition("StateWritable")["status"] is True, "the cloud shows that it can write again")
