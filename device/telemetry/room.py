"""Room in the store: each class of streams keeps within its cap, by giving up batches of its own.

Called by the buffer, under its lock. What a class holds is counted as it is written; only when that reaches the cap the
store is asked, which also knows what was trimmed since.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from device.config import WhenFull
from device.telemetry.caps import CAUSES, Cap, Lying, class_of, ranges_of, victims
from device.telemetry.connection import Client, Command, Entry
from device.telemetry.ranges import Range
from device.telemetry.stored import Extent, Place, numbers_of

log = logging.getLogger(__name__)
PAGE = 64  # batches read at once
ENTRY_COST = 400  # bytes of a batch's entry in a stream, beside its payload


class Room:
    """Owns what each class holds. `drop` returns the commands that name numbers as dropped."""

    def __init__(
        self,
        client: Client,
        caps: Mapping[str, Cap],
        *,
        extents: Callable[[], Sequence[Extent]],
        drop: Callable[[Place, Sequence[Range], str], list[Command]],
    ) -> None:
        self._client = client
        self._caps = caps
        self._extents = extents
        self._drop = drop
        self._held: dict[str, int] = {}

    def measure_anew(self) -> None:
        """Forget what was counted: the store began anew."""
        self._held = {}

    def make(self, stream: str, size: int) -> bool:
        """Make room for a batch of `stream`; return whether it is to be written. Raises `RedisUnavailable`."""
        kind = class_of(stream)
        cap = self._caps.get(kind)
        if cap is None:
            return True
        size = _taken(size)
        held = self._held.get(kind)
        if held is None or held + size > cap.bytes:
            held = sum(self._sizes(kind).values())
        if held + size > cap.bytes and cap.when_full != "newest":
            self._give_up(kind, held + size - cap.bytes + cap.slack, cap.when_full)
            held = sum(self._sizes(kind).values())
        fits = held + size <= cap.bytes
        self._held[kind] = held + size if fits else held
        return fits

    def _sizes(self, kind: str) -> dict[Place, int]:
        """Return the bytes of each place of a class: of the stream that holds most first, its oldest epoch first."""
        extents = [extent for extent in self._extents() if class_of(extent.place.stream) == kind]
        sizes = self._client.memory_of([f"batch|{extent.place.key}" for extent in extents])
        of_stream: dict[str, int] = {}
        for extent, size in zip(extents, sizes, strict=True):
            of_stream[extent.place.stream] = of_stream.get(extent.place.stream, 0) + size
        found = sorted(zip(extents, sizes, strict=True), key=lambda e: (-of_stream[e[0].place.stream], e[0].order))
        return {extent.place: size for extent, size in found}

    def _give_up(self, kind: str, need: int, when_full: WhenFull) -> None:
        """Drop batches of a class until about `need` bytes are free."""
        freed = 0
        for how in dict.fromkeys((when_full, "oldest")):  # where thinning all does not do, the oldest go
            for place in self._sizes(kind):
                if freed < need:
                    freed += self._give_up_of(place, need - freed, how)
        log.warning("%s is at its cap in the store: about %d bytes of it are given up", kind, freed)

    def _give_up_of(self, place: Place, need: int, how: WhenFull) -> int:
        """Drop batches of one place, a page in a transaction; return about how many bytes that frees."""
        freed = after = 0
        while (freed < need or how == "thin") and (page := self._page(place, after)):
            after = page[-1].first
            chosen = victims(page, need=need - freed, when_full=how)
            if chosen:
                ids = [f"{batch.first}-0" for batch in chosen]
                drops = self._drop(place, ranges_of(chosen), CAUSES[how])
                self._client.transaction([("XDEL", f"batch|{place.key}", *ids), *drops])
            freed += sum(batch.size for batch in chosen)
        return freed

    def _page(self, place: Place, after: int) -> list[Lying]:
        return [_lying(entry) for entry in self._client.entries(f"batch|{place.key}", low=f"({after}-0", count=PAGE)]


def _lying(entry: Entry) -> Lying:
    first, last = numbers_of(entry)
    return Lying(first, last, len(entry[1][b"p"]) + ENTRY_COST)


def _taken(size: int) -> int:
    """Return what a payload of `size` bytes may take: memory comes in steps, and the server counts by samples."""
    return size * 4 // 3 + ENTRY_COST
