"""The protocol on one screen: every channel with model, direction, QoS, retain, size limit, priority, proof.

Nobody else formats or splits a topic. The ACL of the broker, docs/protocol.md and both routers are made from this table.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Any

from pydantic import TypeAdapter

from broker import messages
from broker.errors import Refused
from broker.ids import DeviceRef, parse_cn

KIB = 1024
PREFIX = "sk/1"


class Direction(Enum):
    UP = "up"  # device to cloud
    DOWN = "dn"  # cloud to device


class Proof(Enum):
    SIGNED = "signed"  # Ed25519, by a key the trust document gives the channel's role
    MAC = "mac"  # HMAC under the key of that device
    ROOT = "root"  # Ed25519, by the root key


@dataclass(frozen=True)
class Channel:
    """One row. `size_max` bounds the payload as sent, `body_max` what it may unpack to; priority 0 is sent first."""

    name: str
    direction: Direction
    model: TypeAdapter[Any]
    qos: int
    retain: bool
    size_max: int
    body_max: int
    priority: int
    proof: Proof
    purpose: str
    is_dense: bool = False  # what it carries is compressed already

    def topic(self, device: DeviceRef) -> str:
        return f"{PREFIX}/{device.cn}/{self.direction.value}/{self.name}"

    @property
    def every_device(self) -> str:
        """Return the filter that matches this channel of all devices of all shards."""
        return f"{PREFIX}/+/+/+/{self.direction.value}/{self.name}"

    def of_shard(self, shard: int) -> str:
        return f"{PREFIX}/{shard}/+/+/{self.direction.value}/{self.name}"


def _row(name: str, direction: Direction, model: Any, **columns: Any) -> Channel:
    return Channel(name=name, direction=direction, model=TypeAdapter(model), **columns)


_UP, _DN = Direction.UP, Direction.DOWN
_SIGNED, _MAC, _ROOT = Proof.SIGNED, Proof.MAC, Proof.ROOT

# fmt: off
DESIRED  = _row("desired",  _DN, messages.DesiredState, qos=0, retain=True,  size_max=64 * KIB,  body_max=1024 * KIB, priority=0, proof=_SIGNED, purpose="what the device should run; larger ones travel as a reference")
TRUST    = _row("trust",    _DN, messages.Trust,        qos=0, retain=True,  size_max=64 * KIB,  body_max=256 * KIB,  priority=0, proof=_ROOT,   purpose="root-signed keys with their roles, and the era")
COMMAND  = _row("command",  _DN, messages.Command,      qos=1, retain=False, size_max=16 * KIB,  body_max=64 * KIB,   priority=1, proof=_SIGNED, purpose="a verb for a present device")
SYNC     = _row("sync",     _DN, messages.Sync,         qos=0, retain=False, size_max=64 * KIB,  body_max=256 * KIB,  priority=0, proof=_MAC,    purpose="what the cloud holds of the device: answers every birth, beat and commit")
PRESENCE = _row("presence", _UP, messages.Presence,     qos=1, retain=True,  size_max=64 * KIB,  body_max=256 * KIB,  priority=0, proof=_MAC,    purpose="birth (retained), beat, and the will")
STATUS   = _row("status",   _UP, messages.Status,       qos=1, retain=False, size_max=64 * KIB,  body_max=512 * KIB,  priority=1, proof=_MAC,    purpose="reported state; re-sent until sync shows its revision held")
PROGRESS = _row("progress", _UP, messages.Progress,     qos=0, retain=False, size_max=2 * KIB,   body_max=8 * KIB,    priority=2, proof=_MAC,    purpose="bytes done and to do")
BATCH    = _row("batch",    _UP, messages.Batch,        qos=1, retain=False, size_max=256 * KIB, body_max=1024 * KIB, priority=3, proof=_MAC,    purpose="a numbered range of samples, events or log lines", is_dense=True)
REPLY    = _row("reply",    _UP, messages.Reply,        qos=1, retain=False, size_max=96 * KIB,  body_max=256 * KIB,  priority=1, proof=_MAC,    purpose="answers to commands, and the accepted desired state when the cloud lost it")
STREAM_U = _row("stream",   _UP, messages.StreamFrame,  qos=1, retain=False, size_max=64 * KIB,  body_max=64 * KIB,   priority=2, proof=_MAC,    purpose="interactive windows (reserved)")
STREAM_D = _row("stream",   _DN, messages.StreamFrame,  qos=1, retain=False, size_max=64 * KIB,  body_max=64 * KIB,   priority=2, proof=_MAC,    purpose="interactive windows (reserved)")
# fmt: on

CHANNELS: tuple[Channel, ...] = (
    DESIRED, TRUST, COMMAND, SYNC, STREAM_D, PRESENCE, STATUS, PROGRESS, BATCH, REPLY, STREAM_U,
)  # fmt: skip
PACKET_MAX = max(channel.size_max for channel in CHANNELS) + KIB  # the topic and the properties ride along
ROLE_OF = {DESIRED: "desired", COMMAND: "command"}

_TOPIC = re.compile(r"sk/1/(\d+/[^/]+/[^/]+)/(up|dn)/([a-z]+)")
_BY_PLACE = {(channel.direction.value, channel.name): channel for channel in CHANNELS}


def match(topic: str) -> tuple[Channel, DeviceRef]:
    """Return the channel and device a topic names; raise `Refused` when it is none of ours or the shard is wrong."""
    found = _TOPIC.fullmatch(topic)
    channel = _BY_PLACE.get((found[2], found[3])) if found else None
    if found is None or channel is None:
        raise Refused("unknown_topic", f"no channel has the topic {topic[:120]!r}")
    return channel, parse_cn(found[1])


def inbox_filter(device: DeviceRef) -> str:
    """Return the one subscription a device holds."""
    return f"{PREFIX}/{device.cn}/dn/+"
