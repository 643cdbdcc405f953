"""One body over both transports: a session on a real mosquitto, and the loopback."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from broker.backoff import Backoff
from broker.channels import BATCH, COMMAND, DESIRED, PRESENCE, STATUS, inbox_filter
from broker.ids import DeviceRef
from broker.loopback import LoopbackBroker, LoopbackSession
from broker.mosquitto import INGEST, PUBLISHER
from broker.session import Session, SessionConfig
from broker.tls import client_context
from broker.transport import Delivery, Publication, Transport
from tests.harness.mqtt import Authority, Mosquitto, start_mosquitto
from tests.harness.scripted_broker import CONNACK, SESSION_TAKEN_OVER, SUBACK, ScriptedBroker
from tests.harness.servers import wait_until

PUMP = DeviceRef("oaaaaaaaaaaa", "daaaaaaaaaaa")
OTHER = DeviceRef("oaaaaaaaaaaa", "dbbbbbbbbbbb")


@dataclass
class Recorder:
    """Events of a session, as they came."""

    will: Publication | None = None
    ups: queue.Queue[bool] = field(default_factory=queue.Queue)
    downs: queue.Queue[str] = field(default_factory=queue.Queue)
    messages: queue.Queue[tuple[str, bytes]] = field(default_factory=queue.Queue)
    taken_over: list[bool] = field(default_factory=list)

    def opening(self) -> Publication | None:
        return self.will

    def up(self, resumed: bool) -> None:
        self.ups.put(resumed)

    def down(self, reason: str, *, taken_over: bool = False) -> None:
        self.taken_over.append(taken_over)
        self.downs.put(reason)

    def message(self, topic: str, payload: bytes) -> None:
        self.messages.put((topic, payload))


class Place:
    """Where sessions are made: as a device, as ingest, as the publisher."""

    device: Callable[[DeviceRef, Recorder], Transport]
    service: Callable[[str, Recorder, tuple[tuple[str, int], ...]], Transport]


@pytest.fixture(scope="module")
def mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    broker = start_mosquitto(tmp_path_factory.mktemp("mosquitto"))
    yield broker
    broker.server.stop()


@pytest.fixture(params=["mosquitto", "loopback"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    made: list[Transport] = []
    place = Place()
    if request.param == "loopback":
        memory = LoopbackBroker()

        def device(ref: DeviceRef, events: Recorder) -> Transport:
            made.append(LoopbackSession(memory, ref.cn, events, ((inbox_filter(ref), 1),)))
            return made[-1]

        def service(name: str, events: Recorder, subscriptions: tuple[tuple[str, int], ...]) -> Transport:
            made.append(LoopbackSession(memory, name, events, subscriptions))
            return made[-1]
    else:
        real: Mosquitto = request.getfixturevalue("mosquitto")

        def device(ref: DeviceRef, events: Recorder) -> Transport:
            config = SessionConfig(
                (real.devices,), ref.cn, lambda: real.context(real.device_ca, ref.cn), ((inbox_filter(ref), 1),)
            )
            made.append(Session(config, events))
            return made[-1]

        def service(name: str, events: Recorder, subscriptions: tuple[tuple[str, int], ...]) -> Transport:
            config = SessionConfig(
                (real.services,), f"t-{name}", lambda: real.context(real.service_ca, name), subscriptions
            )
            made.append(Session(config, events))
            return made[-1]

    place.device, place.service = device, service
    yield place
    for transport in made:
        transport.stop()


def test_what_a_device_publishes_reaches_ingest(place: Place) -> None:
    seen, sent = Recorder(), queue.Queue[Delivery]()
    place.service(INGEST, seen, ((STATUS.of_shard(PUMP.shard), 1),)).start()
    assert seen.ups.get(timeout=10) in (True, False)
    events = Recorder()
    session = place.device(PUMP, events)
    session.start()
    events.ups.get(timeout=10)
    assert session.publish(Publication(STATUS.topic(PUMP), b"hello", 1), sent.put)
    assert seen.messages.get(timeout=10) == (STATUS.topic(PUMP), b"hello")
    assert sent.get(timeout=10) is Delivery.SENT


def test_a_retained_message_waits_for_the_device(place: Place) -> None:
    publisher_events = Recorder()
    publisher = place.service(PUBLISHER, publisher_events, ())
    publisher.start()
    publisher_events.ups.get(timeout=10)
    sent = queue.Queue[Delivery]()
    assert publisher.publish(Publication(DESIRED.topic(PUMP), b"old", 0, retain=True), sent.put)
    assert publisher.publish(Publication(DESIRED.topic(PUMP), b"new", 1, retain=True), sent.put)
    assert {sent.get(timeout=10), sent.get(timeout=10)} == {Delivery.SENT}
    events = Recorder()
    place.device(PUMP, events).start()
    assert events.messages.get(timeout=10) == (DESIRED.topic(PUMP), b"new")


def test_a_message_for_an_absent_session_is_kept_by_the_broker(place: Place) -> None:
    events = Recorder()
    session = place.device(OTHER, events)
    session.start()
    events.ups.get(timeout=10)
    session.stop()
    publisher_events, sent = Recorder(), queue.Queue[Delivery]()
    publisher = place.service(PUBLISHER, publisher_events, ())
    publisher.start()
    publisher_events.ups.get(timeout=10)
    publisher.publish(Publication(COMMAND.topic(OTHER), b"later", 1), sent.put)
    sent.get(timeout=10)


def test_the_will_is_published_when_a_session_stops(place: Place) -> None:
    seen = Recorder()
    place.service(INGEST, seen, ((PRESENCE.of_shard(PUMP.shard), 1),)).start()
    seen.ups.get(timeout=10)
    events = Recorder(will=Publication(PRESENCE.topic(PUMP), b"gone", 1, retain=True))
    session = place.device(PUMP, events)
    session.start()
    events.ups.get(timeout=10)
    session.stop()
    assert seen.messages.get(timeout=10) == (PRESENCE.topic(PUMP), b"gone")


def test_a_connection_ends_when_another_one_of_its_name_is_made(place: Place) -> None:
    first, second = Recorder(), Recorder()
    place.device(PUMP, first).start()
    first.ups.get(timeout=10)
    place.device(PUMP, second).start()
    second.ups.get(timeout=10)
    first.downs.get(timeout=10)
    assert second.downs.empty()


def test_a_session_that_is_stopped_was_not_taken_over(place: Place) -> None:
    events = Recorder()
    session = place.device(PUMP, events)
    session.start()
    events.ups.get(timeout=10)
    session.stop()
    events.downs.get(timeout=10)
    assert events.taken_over == [False]


def test_publishing_without_a_connection_says_no_and_queues_nothing(place: Place) -> None:
    session = place.device(PUMP, Recorder())
    assert session.publish(Publication(BATCH.topic(PUMP), b"x", 1)) is False


def test_a_device_can_publish_to_no_topic_but_its_own_channels(mosquitto: Mosquitto) -> None:
    events = Recorder()
    config = SessionConfig(
        (mosquitto.devices,),
        PUMP.cn,
        lambda: mosquitto.context(mosquitto.device_ca, PUMP.cn),
        ((inbox_filter(PUMP), 1),),
    )
    session = Session(config, events)
    session.start()
    events.ups.get(timeout=10)
    answers: dict[str, Delivery] = {}
    topics = [
        STATUS.topic(OTHER),
        STATUS.topic(PUMP).replace(f"/{PUMP.shard}/", f"/{(PUMP.shard + 1) % 64}/"),
        STATUS.topic(PUMP) + "/deeper",
        DESIRED.topic(PUMP),
        DESIRED.topic(OTHER),
        f"sk/1/{PUMP.cn}/up/unknown",
        "anything",
        "$SYS/broker/log",
    ]
    for topic in topics:
        assert session.publish(Publication(topic, b"x", 1, retain=True), lambda d, t=topic: answers.__setitem__(t, d))  # type: ignore[misc]
    own = STATUS.topic(PUMP)
    session.publish(Publication(own, b"x", 1), lambda d: answers.__setitem__(own, d))
    wait_until(lambda: len(answers) == len(topics) + 1, what="all publications are answered")
    assert answers.pop(own) is Delivery.SENT
    assert set(answers.values()) == {Delivery.DENIED}
    session.stop()


def test_a_certificate_of_the_device_authority_is_worth_nothing_to_the_services_listener(mosquitto: Mosquitto) -> None:
    events = Recorder()
    config = SessionConfig(
        (mosquitto.services,), "thief", lambda: mosquitto.context(mosquitto.device_ca, PUBLISHER), ()
    )
    session = Session(config, events)
    session.start()
    events.downs.get(timeout=10)
    assert events.ups.empty()
    session.stop()


def test_a_session_comes_back_by_itself_after_the_broker_was_killed(tmp_path: Path) -> None:
    broker = start_mosquitto(tmp_path)
    events = Recorder()
    config = SessionConfig(
        (broker.devices,), PUMP.cn, lambda: broker.context(broker.device_ca, PUMP.cn), ((inbox_filter(PUMP), 1),)
    )
    session = Session(config, events)
    session.start()
    events.ups.get(timeout=10)
    broker.server.kill()
    events.downs.get(timeout=10)
    assert session.publish(Publication(STATUS.topic(PUMP), b"x", 1)) is False
    broker.server.start()
    assert events.ups.get(timeout=20) in (True, False)
    session.stop()
    broker.server.stop()


def test_a_broker_that_says_so_tells_a_session_that_it_was_taken_over(tmp_path: Path) -> None:
    # mosquitto says it from 2.0.15 on; before, it only closes.
    authority = Authority(tmp_path, "servers")
    with ScriptedBroker(authority, [CONNACK, SUBACK, SESSION_TAKEN_OVER]) as broker:
        events = Recorder()
        certificate, key = authority.issue(PUMP.cn)
        config = SessionConfig(
            (broker.endpoint,),
            PUMP.cn,
            lambda: client_context(authority.file, certificate, key),
            ((inbox_filter(PUMP), 1),),
            taken_over=Backoff(first_s=3600.0, max_s=3600.0),
        )
        session = Session(config, events)
        session.start()
        events.ups.get(timeout=10)
        events.downs.get(timeout=10)
        session.stop()
    assert events.taken_over == [True]
