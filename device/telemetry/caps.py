"""How much of the store each class of streams may hold, and which batches go when it holds more. Pure.

The class of a stream is the part of its name before the colon: `events`, `telemetry`, `metrics`, `logs`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from device.config import TelemetrySettings, WhenFull
from device.telemetry.ranges import Range, merged

CAUSES: dict[WhenFull, str] = {"oldest": "dropped_oldest", "newest": "dropped_newest", "thin": "thinned"}


@dataclass(frozen=True)
class Cap:
    """The bytes that a class may hold, and what goes then: the oldest, what is new, or every second batch of all."""

    bytes: int
    when_full: WhenFull

    @property
    def slack(self) -> int:
        """How much more than needed is dropped at once, so that not every batch after it drops another."""
        return self.bytes // 32


@dataclass(frozen=True)
class Lying:
    """A batch by its numbers, and about how many bytes it takes."""

    first: int
    last: int
    size: int


def caps_of(settings: TelemetrySettings) -> dict[str, Cap]:
    """Return the cap of each class, by its name."""
    store = settings.store_megabytes << 20
    return {kind: Cap(store * keep.percent // 100, keep.when_full) for kind, keep in settings.keep}


def class_of(stream: str) -> str:
    return stream.partition(":")[0]


def victims(batches: Sequence[Lying], *, need: int, when_full: WhenFull) -> list[Lying]:
    """Return those of `batches`, oldest first, that go: enough for `need` bytes, or every second one of all."""
    if when_full == "thin":
        return list(batches[1::2])
    chosen: list[Lying] = []
    freed = 0
    for batch in batches:
        if freed >= need:
            break
        chosen.append(batch)
        freed += batch.size
    return chosen


def ranges_of(chosen: Sequence[Lying]) -> list[Range]:
    """Return the numbers of batches as ranges that neither overlap nor touch."""
    return merged((batch.first, batch.last) for batch in chosen)
