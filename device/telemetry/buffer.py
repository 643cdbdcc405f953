"""The buffer: numbered batches in the store, each written with the cursor of its source in one transaction.

Keys: `known` (set of `STREAM|EPOCH`), `order` (counter of epochs), and for each of them
`state|STREAM|EPOCH` (hash: order, last, sent, trimmed), `batch|STREAM|EPOCH` (a Redis stream, entry id `FIRST-0`),
`dropped|STREAM|EPOCH` (what has no elements, see `drops`); `cursor|SOURCE` (hash).
A batch's bounds and bytes are fixed when it is written. Nothing is trimmed that was not both sent and acked; what a
class of streams holds beyond its cap is dropped, and named.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from broker.messages import Gap, Instant, StreamHeld, StreamKept
from device.telemetry import entry_ids
from device.telemetry.caps import CAUSES, Cap
from device.telemetry.connection import Client, Command, RedisUnavailable
from device.telemetry.drops import Drops, key_of
from device.telemetry.epochs import new_epoch
from device.telemetry.marks import Marks
from device.telemetry.ranges import Range, holes
from device.telemetry.room import Room
from device.telemetry.stored import Extent, Place, Stored, header, numbers_of, stored

log = logging.getLogger(__name__)
PAGE = 64  # batches read at once where all are looked at
EPOCHS_KEPT = 64  # of one stream, drained ones included: what a restored cloud database may still ask about


class Buffer:
    """Owns the store. Safe to use from several threads."""

    def __init__(
        self,
        client: Client,
        *,
        marks: Marks,
        epoch_file: Path,
        now: Callable[[], Instant],
        caps: Mapping[str, Cap] | None = None,
    ) -> None:
        self._client = client
        self._drops = Drops(client)
        self._room = Room(client, caps or {}, extents=self.extents, drop=self._drop)
        self._marks = marks
        self._is_compared = False
        self._epoch_file = epoch_file
        self.now = now
        self._lock = threading.Lock()
        self._epoch = 0
        self._last: dict[str, int] = {}
        self._sent: dict[Place, int] = {}

    def suspend(self) -> None:
        """Refuse writes until the next `begin_epoch`: a store that comes back must not go on with the old numbers."""
        with self._lock:
            self._epoch = 0

    def begin_epoch(self) -> None:
        """Start a new epoch: after every start of the store, before anything is written."""
        with self._lock:
            self._epoch = new_epoch(self._epoch_file)
            self._last = {}
            self._room.measure_anew()
            self._is_compared = False

    def append(
        self,
        stream: str,
        *,
        count: int,
        format: str,  # noqa: A002 - the wire's word
        payload: bytes,
        gap_causes: Sequence[tuple[int, str]] = (),
        cursor: tuple[str, Mapping[str, str]] | None = None,
    ) -> Place:
        """Write a batch of `count` elements after the gaps `(how many, cause)`, with `cursor` (source, fields).

        Where its class is at its cap and keeps what it has, the elements become a gap. Returns only when all of it
        has reached the disk. Raises `RedisUnavailable`: then the answer is lost and the write may stand, with its
        cursor; the caller reads the cursor again before the next one.
        """
        with self._lock:
            if not self._epoch:
                raise RedisUnavailable("the store is starting")
            place = Place(stream, self._epoch)
            if count and not self._room.make(stream, len(payload)):
                count, gap_causes = 0, [*gap_causes, (count, CAUSES["newest"])]
            first = self._last_number(place) + 1
            number, gaps = first, []
            for lost, cause in gap_causes:
                gaps.append((number, number + lost - 1, cause))
                number += lost
            last = number + count - 1
            commands: list[Command] = self._known(place) if first == 1 else []
            if count:
                head = header(last, self.now(), format, gaps)
                commands.append(("XADD", f"batch|{place.key}", f"{first}-0", "h", head, "p", payload))
            else:
                for low, high, cause in gaps:
                    commands += self._drop(place, [(low, high)], cause)
            commands.append(("HSET", f"state|{place.key}", "last", last))
            if cursor is not None:
                commands.append(_set_hash(f"cursor|{cursor[0]}", cursor[1]))
            self._last.pop(stream, None)  # unknown until the answer is here
            self._client.transaction(commands)
            self._last[stream] = last
        self._marks.note(place.key, last)
        return place

    def _known(self, place: Place) -> list[Command]:
        order = self._client.increment("order")
        return [
            ("SADD", "known", place.key),
            ("HSET", f"state|{place.key}", "order", order, "sent", 0, "trimmed", 0),
        ]

    def _drop(self, place: Place, ranges: Sequence[Range], cause: str) -> list[Command]:
        return self._drops.add(place.key, ranges, cause=cause, at=self.now(), sent=self._sent_of(place))

    def _last_number(self, place: Place) -> int:
        known = self._last.get(place.stream)
        if known is None:
            known = int(self._client.hash_field(f"state|{place.key}", "last") or 0)
        return known

    def cursor(self, source: str) -> dict[str, str]:
        """Return what was written with the newest batch of `source`."""
        return self._client.hash(f"cursor|{source}")

    def set_cursor(self, source: str, fields: Mapping[str, str]) -> None:
        """Correct a cursor without a batch."""
        self._client.transaction([_set_hash(f"cursor|{source}", fields)])

    def forget_cursor(self, source: str) -> None:
        self._client.delete(f"cursor|{source}")

    def extents(self) -> list[Extent]:
        """Return every (stream, epoch) the store knows, newest epoch of each stream first."""
        keys = self._client.members("known")
        found = []
        for key, state in zip(keys, self._client.hashes([f"state|{key}" for key in keys]), strict=True):
            stream, _, epoch = key.rpartition("|")
            place = Place(stream, int(epoch))
            found.append(
                Extent(place, int(state["order"]), int(state["last"]), int(state["sent"]), int(state["trimmed"]))
            )
        return sorted(found, key=lambda extent: (extent.place.stream, -extent.order))

    def kept(self) -> tuple[StreamKept, ...]:
        """Return what a birth tells of the buffer."""
        return tuple(
            StreamKept(stream=e.place.stream, epoch=e.place.epoch, first=e.trimmed + 1, last=e.last)
            for e in self.extents()
        )

    def read(self, place: Place, *, after: int, count: int) -> list[Stored]:
        """Return up to `count` batches that begin after number `after`, in order."""
        entries = self._client.entries(f"batch|{place.key}", low=f"({after}-0", count=count)
        found = [stored(place, entry) for entry in entries]
        for drop in self._drops.after(place.key, after, count=count):
            gap = Gap(first=drop.first, last=drop.last, cause=drop.cause)
            found.append(Stored(place, drop.first, drop.last, drop.at, "none", b"", (gap,)))
        return sorted(found, key=lambda each: each.first)[:count]

    def note_sent(self, place: Place, last: int) -> None:
        """Remember that everything up to `last` has been sent at least once.

        A full store refuses even this; then it is known for this run alone, so that trimming can make room again.
        """
        with self._lock:
            self._sent[place] = max(last, self._sent.get(place, 0))
            try:
                sent = int(self._client.hash_field(f"state|{place.key}", "sent") or 0)
                if last > sent:
                    self._client.transaction([("HSET", f"state|{place.key}", "sent", last)])
            except RedisUnavailable as error:
                log.warning("what was sent is not written down: %s", error)

    def apply_held(self, held: StreamHeld) -> int:
        """Trim what the cloud holds and we have sent; return how many batches went."""
        place = Place(held.stream, held.epoch)
        with self._lock:
            state = self._client.hash(f"state|{place.key}")
            if not state:
                return 0
            sent, trimmed = max(int(state["sent"]), self._sent.get(place, 0)), int(state["trimmed"])
            limit = min(held.contiguous, sent)
            gone = self._trim(place, limit) if limit > trimmed else 0
            gone += self._forget_drops(place, 1, limit)
            for first, last in held.ranges:
                gone += self._forget_within(place, first, min(last, sent))
            return gone

    def _trim(self, place: Place, limit: int) -> int:
        """Trim and say so at once: what is trimmed and not said to be so would be neither sent again nor done with.

        A full store takes no transaction that writes anything new: there trimming alone makes the room for that.
        """
        key, said = f"batch|{place.key}", ("HSET", f"state|{place.key}", "trimmed", limit)
        try:
            trim = ("XTRIM", key, "MINID", "=", entry_ids.following(f"{limit}-0"))
            return int(self._client.transaction([trim, said])[0])
        except RedisUnavailable:
            gone = self._client.trim_through(key, f"{limit}-0")
            self._client.transaction([said])
            return gone

    def _sent_of(self, place: Place) -> int:
        return max(int(self._client.hash_field(f"state|{place.key}", "sent") or 0), self._sent.get(place, 0))

    def _forget_drops(self, place: Place, first: int, last: int) -> int:
        found = self._drops.within(place.key, first, last)
        self._drops.remove(place.key, found)
        return len(found)

    def _forget_within(self, place: Place, first: int, last: int) -> int:
        entries = self._client.entries(f"batch|{place.key}", low=f"{first}-0", high=f"{last}-0")
        ids = [entry[0] for entry in entries if numbers_of(entry)[1] <= last]
        return self._client.delete_entries(f"batch|{place.key}", ids) + self._forget_drops(place, first, last)

    def replace_by_gap(self, place: Place, first: int, *, cause: str) -> None:
        """Turn the batch that begins at `first` into a gap of the same range: the cloud will never take it."""
        with self._lock:
            for entry in self._client.entries(f"batch|{place.key}", low=f"{first}-0", high=f"{first}-0"):
                drops = self._drop(place, [numbers_of(entry)], cause)
                self._client.transaction([("XDEL", f"batch|{place.key}", entry[0]), *drops])

    def lost_by_cloud(self, held: StreamHeld) -> list[Range]:
        """Return the numbers that neither the cloud holds nor we keep: they were acked by a store since restored."""
        place = Place(held.stream, held.epoch)
        last = int(self._client.hash_field(f"state|{place.key}", "last") or 0)
        kept: list[Range] = []
        after = 0
        while page := self.read(place, after=after, count=PAGE):
            kept += [(batch.first, batch.last) for batch in page]
            after = page[-1].first
        return holes([*kept, *held.ranges, (1, held.contiguous)], last=last)

    def name_losses(self) -> None:
        """Name what the store had and has not any more: once after each of its starts.

        Raises `RedisUnavailable` where one of the two servers is away; then it is to be asked again.
        """
        if self._is_compared:
            return
        marks, known = self._marks.all(), {extent.place.key: extent for extent in self.extents()}
        for key, last in marks.items():
            stream, _, epoch = key.rpartition("|")
            extent = known.get(key)
            if int(epoch) != self._epoch and (extent.last if extent is not None else 0) < last:
                self._name_loss(Place(stream, int(epoch)), extent, last)
        self._forget_drained(marks)
        self._is_compared = True

    def _name_loss(self, place: Place, extent: Extent | None, last: int) -> None:
        """Put a gap where the numbers up to `last` were. What the cloud has of them stands: stored wins over a gap."""
        first = extent.last + 1 if extent is not None else 1
        log.error("the store lost %s %d..%d", place.key, first, last)
        commands = self._known(place) if extent is None else []
        commands += self._drop(place, [(first, last)], "store_lost")
        commands.append(("HSET", f"state|{place.key}", "last", last))
        if "moved" in self.cursor(place.stream):  # what went with them was moved, and not erased by the app
            commands.append(("HINCRBY", f"cursor|{place.stream}", "moved", last - first + 1))
        self._client.transaction(commands)

    def has_known(self, stream: str) -> bool:
        """Return whether there ever was a batch of this stream, or one that was lost."""
        return any(key.rpartition("|")[0] == stream for key in self._client.members("known"))

    def _forget_drained(self, marks: Collection[str]) -> None:
        """Drop the marks of drained epochs, and what is known of those beyond the newest few of each stream."""
        drained = [e for e in self.extents() if e.trimmed >= e.last and e.place.epoch != self._epoch]
        self._marks.forget([extent.place.key for extent in drained if extent.place.key in marks])
        seen: dict[str, int] = {}
        for extent in self.extents():
            stream = extent.place.stream
            seen[stream] = seen.get(stream, 0) + 1
            if seen[stream] > EPOCHS_KEPT and extent in drained:
                key = extent.place.key
                self._client.transaction([("SREM", "known", key), ("DEL", f"state|{key}", f"batch|{key}", key_of(key))])


def _set_hash(key: str, fields: Mapping[str, str]) -> Command:
    return ("HSET", key, *(part for item in sorted(fields.items()) for part in item))
