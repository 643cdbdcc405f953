"""What the buffer gave up: ranges of numbers without elements, each with its cause, in order of the first number.

Key `dropped|STREAM|EPOCH`: a sorted set; the score is the first number, the member `[first, last, cause, instant]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgpack

from broker.messages import Instant
from device.telemetry.connection import Client, Command
from device.telemetry.ranges import Range


@dataclass(frozen=True)
class Drop:
    """Numbers of one place that have no elements any more, or never had."""

    first: int
    last: int
    cause: str
    at: Instant


class Drops:
    """Reads the sets and says how to change them. Whoever changes a batch does both in one transaction."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def after(self, place: str, number: int, *, count: int) -> list[Drop]:
        """Return up to `count` drops that begin after `number`, in order."""
        return [_read(member) for member in self._client.sorted_after(key_of(place), number, count=count)]

    def within(self, place: str, first: int, last: int) -> list[Drop]:
        """Return the drops that lie wholly in a range."""
        found = map(_read, self._client.sorted_between(key_of(place), first, last))
        return [drop for drop in found if drop.last <= last]

    def add(self, place: str, ranges: Sequence[Range], *, cause: str, at: Instant, sent: int) -> list[Command]:
        """Return the commands that add ranges, given in order.

        A range that follows an older one of the same cause is joined with it, unless that one may be with the cloud.
        """
        commands: list[Command] = []
        last = self._before(place, ranges[0][0])
        for first, end in ranges:
            at_once = Drop(first, end, cause, at)
            if last is not None and last.last == first - 1 and last.cause == cause and last.first > sent:
                commands.append(("ZREM", key_of(place), _pack(last)))
                at_once = Drop(last.first, end, cause, last.at)
            commands.append(("ZADD", key_of(place), at_once.first, _pack(at_once)))
            last = at_once
        return commands

    def remove(self, place: str, drops: Sequence[Drop]) -> None:
        if drops:
            self._client.transaction([("ZREM", key_of(place), *(_pack(drop) for drop in drops))])

    def _before(self, place: str, number: int) -> Drop | None:
        found = self._client.sorted_before(key_of(place), number)
        return None if found is None else _read(found)


def key_of(place: str) -> str:
    """Return the key that holds what was dropped of a place."""
    return f"dropped|{place}"


def _pack(drop: Drop) -> bytes:
    packed: bytes = msgpack.packb([drop.first, drop.last, drop.cause, drop.at.model_dump()])
    return packed


def _read(member: bytes) -> Drop:
    parts: list[Any] = msgpack.unpackb(member)
    return Drop(parts[0], parts[1], parts[2], Instant.model_validate(parts[3]))
