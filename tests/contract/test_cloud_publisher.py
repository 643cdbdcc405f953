"""The publisher over SQLite and a broker that only remembers: what is sent, when, and what is sent again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from broker.channels import DESIRED, TRUST, match
from broker.ids import DeviceRef
from broker.transport import Delivery, Done, Publication
from cloud.publisher import Publisher
from cloud.store import desired
from tests.contract.test_cloud_store import Cloud

pytestmark = pytest.mark.usefixtures("database_kind")

WAIT_S = 10.0


class Broker:
    """A transport that keeps what is published; `deny` makes it answer that the connection was lost."""

    def __init__(self) -> None:
        self.connected = True
        self.lost = 0
        self.changed = threading.Condition()
        self.published: list[Publication] = []

    def start(self) -> None:
        """Nothing to do."""

    def stop(self) -> None:
        """Nothing to do."""

    def reconnect(self) -> None:
        """Nothing to do."""

    def publish(self, publication: Publication, done: Done | None = None) -> bool:
        with self.changed:
            if self.lost:
                self.lost -= 1
            else:
                self.published.append(publication)
                self.changed.notify_all()
                if done is not None:
                    done(Delivery.SENT)
                return True
        if done is not None:
            done(Delivery.LOST)
        return True

    def envelopes(self, ref: DeviceRef) -> list[bytes]:
        return [item.payload for item in self.published if match(item.topic) == (DESIRED, ref)]

    def wait_for(self, ref: DeviceRef, count: int) -> list[bytes]:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.envelopes(ref)) >= count, WAIT_S)
            return self.envelopes(ref)


@contextmanager
def running(publisher: Publisher) -> Iterator[None]:
    stopping = threading.Event()
    thread = threading.Thread(target=publisher.run, args=(stopping,))
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        publisher.wake()
        thread.join(WAIT_S)
        assert not thread.is_alive()


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    made = Cloud(tmp_path / "db")
    yield made
    made.database.close()


def test_a_new_state_is_sent_as_stored_and_marked_once_it_left(cloud: Cloud) -> None:
    ref, broker = cloud.enroll(cloud.found()), Broker()
    publisher = Publisher(cloud.database, clock=cloud.clock)
    publisher.attach(broker)
    with running(publisher):
        row = cloud.deploy(ref, A="1")
        publisher.wake()
        assert broker.wait_for(ref, 1) == [row.envelope]
        newer = cloud.deploy(ref, A="2")
        publisher.wake()
        assert broker.wait_for(ref, 2)[-1] == newer.envelope
    with cloud.database.read() as tx:
        assert desired.named(tx, ref.device) == (newer.named, True)
    assert all(item.retain for item in broker.published)


def test_what_was_lost_with_the_connection_is_sent_again(cloud: Cloud) -> None:
    ref, broker = cloud.enroll(cloud.found()), Broker()
    broker.lost = 1
    publisher = Publisher(cloud.database, clock=cloud.clock)
    publisher.attach(broker)
    with running(publisher):
        row = cloud.deploy(ref, A="1")
        publisher.wake()
        assert broker.wait_for(ref, 1) == [row.envelope]


def test_a_broker_that_is_there_anew_gets_every_newest_state_and_trust(cloud: Cloud) -> None:
    org = cloud.found()
    refs = [cloud.enroll(org) for _ in range(3)]
    cloud.deploy(refs[0], A="1")
    cloud.deploy(refs[0], A="2")
    broker = Broker()
    publisher = Publisher(cloud.database, clock=cloud.clock)
    publisher.attach(broker)
    with running(publisher):
        for times in (1, 2):
            publisher.up(resumed=True)
            for ref in refs:
                broker.wait_for(ref, times)
    assert [len(broker.envelopes(ref)) for ref in refs] == [2, 2, 2]
    assert {match(item.topic)[1] for item in broker.published if match(item.topic)[0] is TRUST} == set(refs)


def test_a_device_that_stays_behind_gets_its_state_again(cloud: Cloud) -> None:
    ref, broker = cloud.enroll(cloud.found()), Broker()
    publisher = Publisher(cloud.database, clock=cloud.clock)
    publisher.attach(broker)
    with running(publisher):
        row = cloud.deploy(ref, A="1")
        publisher.wake()
        broker.wait_for(ref, 1)
        publisher.nudge(ref)
        cloud.clock.now_ms += 60_000
        publisher.wake()
        assert broker.wait_for(ref, 2) == [row.envelope, row.envelope]
