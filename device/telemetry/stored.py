"""A batch as it lies in the store, its place, and how far a place is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgpack

from broker.messages import Gap, Instant
from device.telemetry.connection import Entry


@dataclass(frozen=True)
class Place:
    """One (stream, epoch)."""

    stream: str
    epoch: int

    @property
    def key(self) -> str:
        return f"{self.stream}|{self.epoch}"


@dataclass(frozen=True)
class Stored:
    """A batch as it lies in the buffer."""

    place: Place
    first: int
    last: int
    at: Instant
    format: str
    payload: bytes
    gaps: tuple[Gap, ...]


@dataclass(frozen=True)
class Extent:
    """How far one (stream, epoch) is: last number made, highest sent, all trimmed up to."""

    place: Place
    order: int
    last: int
    sent: int
    trimmed: int


def header(last: int, at: Instant, form: str, gaps: Sequence[tuple[int, int, str]]) -> bytes:
    """Return what an entry says of its batch, beside its id and payload."""
    packed: bytes = msgpack.packb([last, at.model_dump(), form, gaps])
    return packed


def numbers_of(entry: Entry) -> tuple[int, int]:
    """Return the first and the last number of an entry of a place's stream."""
    return int(entry[0].partition("-")[0]), int(msgpack.unpackb(entry[1][b"h"])[0])


def stored(place: Place, entry: Entry) -> Stored:
    """Read an entry of a place's stream."""
    first, last = numbers_of(entry)
    _, at, form, gaps = msgpack.unpackb(entry[1][b"h"])
    return Stored(
        place=place,
        first=first,
        last=last,
        at=Instant.model_validate(at),
        format=form,
        payload=entry[1][b"p"],
        gaps=tuple(Gap(first=g[0], last=g[1], cause=g[2]) for g in gaps),
    )
