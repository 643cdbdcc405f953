"""The table of channels, read both ways."""

from __future__ import annotations

import itertools

import pytest

from broker.channels import CHANNELS, PACKET_MAX, Channel, Direction, Proof, inbox_filter, match
from broker.errors import Refused
from broker.ids import DeviceRef
from broker.loopback import topic_matches

PUMP = DeviceRef("oaaaaaaaaaaa", "daaaaaaaaaaa")
EACH = pytest.mark.parametrize("channel", CHANNELS, ids=lambda c: f"{c.direction.value}-{c.name}")

TABLE = """\
dn desired  qos 0 retained signed  65536 1048576
dn trust    qos 0 retained root    65536 262144
dn command  qos 1          signed  16384 65536
dn sync     qos 0          mac     65536 262144
dn stream   qos 1          mac     65536 65536
up presence qos 1 retained mac     65536 262144
up status   qos 1          mac     65536 524288
up progress qos 0          mac     2048 8192
up batch    qos 1          mac     262144 1048576
up reply    qos 1          mac     98304 262144
up stream   qos 1          mac     65536 65536
"""


def row(channel: Channel) -> str:
    retain = "retained" if channel.retain else ""
    left = f"{channel.direction.value} {channel.name:8} qos {channel.qos} {retain:8} {channel.proof.value:7}"
    return f"{left} {channel.size_max} {channel.body_max}\n"


def test_the_table_is_the_protocol_and_changing_a_row_is_a_protocol_change() -> None:
    assert "".join(row(channel) for channel in CHANNELS) == TABLE


@EACH
def test_a_topic_is_read_back_to_its_channel_and_device(channel: Channel) -> None:
    topic = channel.topic(PUMP)
    assert topic == f"sk/1/43/oaaaaaaaaaaa/daaaaaaaaaaa/{channel.direction.value}/{channel.name}"
    found, device = match(topic)
    assert found is channel
    assert device == PUMP


@EACH
def test_the_filters_of_a_channel_match_its_topics_and_no_other_channels(channel: Channel) -> None:
    for pattern in (channel.every_device, channel.of_shard(PUMP.shard)):
        assert [other for other in CHANNELS if topic_matches(pattern, other.topic(PUMP))] == [channel]
    assert not topic_matches(channel.of_shard(PUMP.shard + 1), channel.topic(PUMP))


def test_the_one_subscription_of_a_device_brings_what_goes_down_and_nothing_else() -> None:
    matched = {channel for channel in CHANNELS if topic_matches(inbox_filter(PUMP), channel.topic(PUMP))}
    assert matched == {channel for channel in CHANNELS if channel.direction is Direction.DOWN}


def test_no_two_rows_have_one_topic() -> None:
    for one, other in itertools.combinations(CHANNELS, 2):
        assert one.topic(PUMP) != other.topic(PUMP)


def test_only_desired_and_trust_and_commands_change_a_device_and_each_is_signed() -> None:
    signed = {channel.name for channel in CHANNELS if channel.proof is not Proof.MAC}
    assert signed == {"desired", "trust", "command"}


def test_every_envelope_fits_a_packet() -> None:
    assert all(channel.size_max + len(channel.topic(PUMP)) < PACKET_MAX for channel in CHANNELS)


@pytest.mark.parametrize(
    ("topic", "reason"),
    [
        ("", "unknown_topic"),
        ("sk/1/43/oaaaaaaaaaaa/daaaaaaaaaaa/dn/nothing", "unknown_topic"),
        ("sk/1/43/oaaaaaaaaaaa/daaaaaaaaaaa/up/desired", "unknown_topic"),
        ("sk/1/43/oaaaaaaaaaaa/daaaaaaaaaaa/dn/desired/more", "unknown_topic"),
        ("sk/1/43/oaaaaaaaaaaa/daaaaaaaaaaa/dn/desired\n", "unknown_topic"),
        ("sk/2/43/oaaaaaaaaaaa/daaaaaaaaaaa/dn/desired", "unknown_topic"),
        ("/sk/1/43/oaaaaaaaaaaa/daaaaaaaaaaa/dn/desired", "unknown_topic"),
        ("sk/1/42/oaaaaaaaaaaa/daaaaaaaaaaa/dn/desired", "wrong_shard"),
        ("sk/1/43/oaaaaaaaaaaa/everyone/dn/desired", "bad_identity"),
    ],
)
def test_a_topic_that_is_none_of_ours_is_refused(topic: str, reason: str) -> None:
    with pytest.raises(Refused) as refused:
        match(topic)
    assert refused.value.reason == reason
