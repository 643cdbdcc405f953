"""Devices that start their store over and over: every epoch is counted, none is refused for ever."""

from __future__ import annotations

from pathlib import Path

import pytest

from broker.channels import BATCH, PRESENCE
from broker.messages import Batch, Birth, StreamHeld, StreamKept
from cloud.store import cursors
from tests.contract.test_cloud_store import STREAM, Cloud, Device

pytestmark = pytest.mark.usefixtures("database_kind")

MAX = 6


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloud.ingest.batch.CURSORS_MAX", MAX)
    monkeypatch.setattr("cloud.ingest.batch.FOLDED_AT_ONCE", 3)


@pytest.fixture
def device(tmp_path: Path) -> Device:
    cloud = Cloud(tmp_path / "db")
    return Device(cloud, cloud.enroll(cloud.found()))


def born(device: Device, *epochs: int) -> None:
    """Let the device say that it keeps these epochs."""
    birth = device.birth().model_dump() | {
        "streams": tuple(StreamKept(stream=STREAM, epoch=epoch, first=1, last=9) for epoch in epochs)
    }
    device.send(PRESENCE, Birth.model_validate(birth))


def batch(device: Device, epoch: int, first: int, last: int, *lost: tuple[int, int], stream: str = STREAM) -> Batch:
    return device.batch(first, last, *lost).model_copy(update={"epoch": epoch, "stream": stream})


def send(device: Device, message: Batch) -> StreamHeld:
    device.cloud.clock.now_ms += 1000
    (held,) = device.send(BATCH, message).streams
    return held


def counted(device: Device) -> tuple[int, int]:
    """Return the numbers with data and those lost, over all epochs."""
    with device.cloud.database.read() as tx:
        found = cursors.of_device(tx, device.ref.device)
    return sum(cursor.stored for cursor in found), sum(cursor.gaps for cursor in found)


def epochs(device: Device) -> list[int]:
    with device.cloud.database.read() as tx:
        return [cursor.epoch for cursor in cursors.of_device(tx, device.ref.device) if cursor.epoch != cursors.FOLDED]


def test_a_device_with_many_epochs_is_taken_from_as_long_as_it_is_done_with_the_old_ones(device: Device) -> None:
    for epoch in range(1, 5 * MAX):
        born(device, epoch)
        held = send(device, batch(device, epoch, 1, 10, (3, 4)))
        assert (held.contiguous, held.refused) == (10, ())
    assert len(epochs(device)) <= MAX
    assert counted(device) == (8 * (5 * MAX - 1), 2 * (5 * MAX - 1))


def test_epochs_that_the_device_keeps_or_that_have_holes_are_not_folded(device: Device) -> None:
    send(device, batch(device, 1, 1, 5))
    send(device, batch(device, 2, 3, 5))
    for epoch in range(3, MAX + 1):
        send(device, batch(device, epoch, 1, 5))
    born(device, 1, MAX + 1)
    assert send(device, batch(device, MAX + 1, 1, 5)).refused == ()
    assert {1, 2, MAX + 1} <= set(epochs(device))
    assert len(epochs(device)) == MAX + 1 - 3


def test_a_device_that_keeps_them_all_is_asked_to_wait_and_loses_nothing(device: Device) -> None:
    for epoch in range(1, MAX + 1):
        send(device, batch(device, epoch, 1, 5))
    born(device, *range(1, MAX + 2))
    (refused,) = send(device, batch(device, MAX + 1, 1, 5)).refused
    assert (refused.reason, refused.retry_after_s) == ("not_now", 3600)
    born(device, MAX + 1)
    assert send(device, batch(device, MAX + 1, 1, 5)).contiguous == 5


def test_a_folded_epoch_that_comes_back_is_as_it_was(device: Device) -> None:
    for epoch in range(1, MAX + 1):
        send(device, batch(device, epoch, 1, 10, (3, 4)))
    born(device, MAX + 1)
    send(device, batch(device, MAX + 1, 1, 10))
    assert 1 not in epochs(device)
    before = counted(device)
    again = send(device, batch(device, 1, 1, 10, (3, 4)))  # an old image of the device's disk was restored
    assert (again.contiguous, again.refused) == (10, ())
    assert counted(device) == before
    assert send(device, batch(device, 1, 11, 12)).contiguous == 12
    assert counted(device) == (before[0] + 2, before[1])


def test_a_sync_says_of_a_folded_epoch_what_it_held(device: Device) -> None:
    for epoch in range(1, MAX + 1):
        send(device, batch(device, epoch, 1, 10))
    born(device, MAX + 1)
    send(device, batch(device, MAX + 1, 1, 10))
    before = counted(device)
    birth = device.birth().model_dump() | {"streams": (StreamKept(stream=STREAM, epoch=1, first=1, last=10),)}
    sync = device.send(PRESENCE, Birth.model_validate(birth))
    assert [(held.epoch, held.contiguous) for held in sync.streams] == [(1, 10)]
    assert counted(device) == before
