"""What is kept for so long and then dropped: in pages, told apart from losses, and never stored again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from broker.channels import BATCH
from cloud.audit import Findings, Rows, audited
from cloud.ingest.retention import DAY_MS, Retention
from cloud.store import batches, cursors, expired, gaps, orgs
from tests.contract.test_cloud_store import EPOCH, STREAM, Cloud, Device

pytestmark = pytest.mark.usefixtures("database_kind")


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    made = Cloud(tmp_path / "db")
    yield made
    made.database.close()


@pytest.fixture
def device(cloud: Cloud) -> Device:
    return Device(cloud, cloud.enroll(cloud.found()))


def keep(cloud: Cloud, org: str, days: int | None) -> None:
    with cloud.database.write() as tx:
        orgs.keep(tx, org, days=days)


def drop(cloud: Cloud) -> int:
    return Retention(cloud.database, cloud.clock).drop_old(threading.Event())


def found(device: Device) -> Findings:
    place = (device.ref.device, STREAM, EPOCH)
    with device.cloud.database.read() as tx:
        rows = Rows(batches.parts_of(tx, *place), gaps.causes_of(tx, *place), expired.ranges_of(tx, *place))
        held = cursors.get(tx, *place)
    assert held is not None
    return audited(STREAM, EPOCH, rows, acked=[(1, held.held.contiguous), *held.held.ranges], kept_to=0)


def test_what_is_too_old_goes_and_is_no_loss(cloud: Cloud, device: Device) -> None:
    device.send(BATCH, device.batch(1, 10), device.batch(11, 20, (13, 14)))
    cloud.clock.now_ms += DAY_MS // 2
    device.send(BATCH, device.batch(21, 30))
    cloud.clock.now_ms += DAY_MS // 2 + 1
    assert drop(cloud) == 0
    keep(cloud, device.ref.org, 1)
    assert drop(cloud) == 2
    assert device.stored() == [(21, 30)]
    audit = found(device)
    assert audit.complete
    assert (audit.expired, audit.stored, audit.lost) == (((1, 12), (15, 20)), ((21, 30),), {"dropped": ((13, 14),)})
    cloud.clock.now_ms += DAY_MS
    assert drop(cloud) == 1
    assert found(device).expired == ((1, 12), (15, 30))


def test_what_was_dropped_and_comes_again_is_acknowledged_and_not_stored(cloud: Cloud, device: Device) -> None:
    device.send(BATCH, device.batch(1, 10), device.batch(11, 20))
    keep(cloud, device.ref.org, 1)
    cloud.clock.now_ms += 2 * DAY_MS
    drop(cloud)
    sync = device.send(BATCH, device.batch(1, 10), device.batch(21, 25))
    assert (sync.streams[0].contiguous, sync.streams[0].refused) == (25, ())
    assert device.stored() == [(21, 25)]
    assert found(device).twice == ()


def test_other_organisations_keep_what_they_have(cloud: Cloud, device: Device) -> None:
    from cloud import founding

    with cloud.database.write() as tx:
        other_org = founding.found(tx, name="other", user="bob", password="-", system=False, now_ms=1).org
    other = Device(cloud, cloud.enroll(other_org))
    for each in (device, other):
        each.send(BATCH, each.batch(1, 10))
    keep(cloud, device.ref.org, 1)
    cloud.clock.now_ms += 2 * DAY_MS
    assert drop(cloud) == 1
    assert (device.stored(), other.stored()) == ([], [(1, 10)])


def test_pages_leave_the_database_to_others_in_between(
    cloud: Cloud, device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud.ingest.retention.PAGE", 2)
    device.send(BATCH, *(device.batch(n, n) for n in range(1, 8)))
    keep(cloud, device.ref.org, 1)
    cloud.clock.now_ms += 2 * DAY_MS

    class Between(threading.Event):
        """Has the device send something whenever retention waits."""

        sent = 7

        def wait(self, timeout: float | None = None) -> bool:
            self.sent += 1
            assert device.send(BATCH, device.batch(self.sent, self.sent)).streams[0].contiguous == self.sent
            return False

    between = Between()
    assert Retention(cloud.database, cloud.clock).drop_old(between) == 7
    assert between.sent == 10
    assert device.stored() == [(8, 8), (9, 9), (10, 10)]
    assert found(device).complete


def test_a_folded_epoch_knows_what_was_dropped_of_it(cloud: Cloud, device: Device) -> None:
    device.send(BATCH, device.batch(1, 10), device.batch(11, 20))
    keep(cloud, device.ref.org, 1)
    cloud.clock.now_ms += 2 * DAY_MS
    drop(cloud)
    with cloud.database.write() as tx:
        assert cursors.fold(tx, device.ref.device, set(), limit=9, now_ms=1) == 1
        back = cursors.unfold(tx, device.ref.device, STREAM, EPOCH, now_ms=1)
    assert back is not None
    assert (back.held.contiguous, back.stored) == (20, 20)
