"""Typed sending: what leaves, under which numbers, and when nothing does."""

from __future__ import annotations

import pytest

from broker.channels import PRESENCE, STATUS
from broker.errors import Refused
from broker.messages import Beat, Condition, Conn, Message, Status, Will
from broker.signing import MacKey
from device.uplink import Uplink
from tests.unit.device.fakes import CONN, MAC, NEXT_CONN, PUMP, Line, uplink_on


def beat(conn: Conn, n: int) -> Message:
    return Beat(conn=conn, n=n)


def test_messages_are_numbered_from_one_on_each_connection() -> None:
    line = Line()
    uplink = uplink_on(line)
    assert uplink.send(PRESENCE, beat)
    assert uplink.send(PRESENCE, beat)
    uplink.open(NEXT_CONN)
    assert uplink.send(PRESENCE, beat)
    assert line.taken() == [Beat(conn=CONN, n=1), Beat(conn=CONN, n=2), Beat(conn=NEXT_CONN, n=1)]


def test_the_will_names_the_connection_it_is_of_and_stays_at_the_broker() -> None:
    line = Line()
    will = uplink_on(line, conn=None).open(CONN)
    line.published.append(will)
    assert (will.topic, will.qos, will.retain) == (PRESENCE.topic(PUMP), 1, True)
    assert line.taken() == [Will(conn=CONN)]


def test_a_message_travels_with_the_qos_of_its_channel_and_is_retained_only_where_asked() -> None:
    line = Line()
    uplink = uplink_on(line)
    uplink.send(PRESENCE, beat)
    uplink.send(PRESENCE, beat, retain=True)
    assert [(sent.topic, sent.qos, sent.retain) for sent in line.published] == [
        (PRESENCE.topic(PUMP), 1, False),
        (PRESENCE.topic(PUMP), 1, True),
    ]


def test_without_a_connection_nothing_is_made_or_sent() -> None:
    def never(conn: Conn, n: int) -> Message:
        pytest.fail("made a message that cannot leave")

    line = Line()
    line.connected = False
    assert not uplink_on(line).send(PRESENCE, never)
    assert not uplink_on(Line(), conn=None).send(PRESENCE, never)
    assert not Uplink(device=PUMP, mac=MacKey(b"")).send(PRESENCE, never)


def test_a_full_session_is_told_to_the_owner_of_the_data() -> None:
    line = Line()
    line.room = 1
    uplink = uplink_on(line)
    assert [uplink.send(PRESENCE, beat), uplink.send(PRESENCE, beat)] == [True, False]


def test_a_message_over_its_channels_size_is_refused_to_who_sends_it() -> None:
    wide = tuple(Condition(type=f"c{n}", status=True, message="x" * 2000) for n in range(300))
    with pytest.raises(Refused) as refused:
        uplink_on(Line()).send(STATUS, lambda conn, n: Status(conn=conn, n=n, revision=1, conditions=wide))
    assert refused.value.reason == "too_large"


def test_a_reconnection_is_passed_on_to_the_session() -> None:
    line = Line()
    uplink_on(line).reconnect()
    assert line.reconnects == 1


def test_the_key_of_the_device_is_on_everything() -> None:
    line = Line()
    uplink_on(line).send(PRESENCE, beat)
    assert line.published[0].payload[4:12] == MAC.key_id
