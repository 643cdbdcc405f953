"""A batch as it lies in the store, its place, and how far a place is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgpack

from broker.messages import Gap, Instant


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


def stored(place: Place, entry_id: str, fields: Mapping[bytes, bytes]) -> Stored:
    """Read an entry of a place's stream."""
    last, at, form, gaps = msgpack.unpackb(fields[b"h"])
    return Stored(
        place=place,
        first=int(entry_id.partition("-")[0]),
        last=last,
        at=Instant.model_validate(at),
        format=form,
        payload=fields[b"p"],
        gaps=tuple(Gap(first=g[0], last=g[1], cause=g[2]) for g in gaps),
    )
