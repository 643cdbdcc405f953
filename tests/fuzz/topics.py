"""Fuzz topics: a text is the one topic of a channel and a device, or refused."""

from __future__ import annotations

from random import Random

from broker.channels import CHANNELS, match
from broker.ids import DeviceRef, new_id
from tests.fuzz.fuzzing import damaged, main

TOPICS = tuple(
    channel.topic(DeviceRef(org, device)).encode()
    for channel in CHANNELS
    for org, device in (("oaaaaaaaaaaa", "daaaaaaaaaaa"), (new_id("o"), new_id("d")))
)


def make(random: Random) -> str:
    topic = damaged(random, TOPICS).decode("latin-1")
    if random.random() < 0.2:
        at = random.randrange(len(topic) + 1)
        topic = topic[:at] + random.choice("²٣\u2028+#$\n") + topic[at + 1 :]
    return topic


def attempt(topic: str) -> None:
    """Match; what matches is spelt exactly so."""
    channel, device = match(topic)
    assert channel.topic(device) == topic


if __name__ == "__main__":
    main(make, attempt)
