"""The mover: packs what apps wrote into numbered batches, and says what an app erased before we had it.

For each stream: read past the cursor, write the batch and the new cursor in one transaction of the store, then trim the
intake. A crash between the last two repeats only the trim. What the app trimmed away itself (`XADD .. MAXLEN`) shows as
entries added that we neither moved nor see: these become a gap `trimmed_by_app`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from broker.payloads import SAMPLES, pack_rows
from device.telemetry import entry_ids
from device.telemetry.buffer import Buffer
from device.telemetry.connection import Client, RawEntry, RedisUnavailable, StreamInfo

log = logging.getLogger(__name__)

COUNT_MAX = 2000  # samples in a batch: of small ones, so that what a batch costs beside them is little for each
BATCHES_A_TURN = 20  # of one stream, before the next one
LOOK_S = 0.1  # while samples gather: what a flood may write before it is noticed
BYTES_MAX = 96 * 1024  # of fields in a batch, before compression
SAMPLE_BYTES_MAX = 192 * 1024  # of one sample, which then is a batch by itself: the channel takes 256 KiB
BLOCK_MS = 20_000
IDLE_S = 600.0  # without apps that send there is nothing to look for
WAKE = "skerry:wake"  # a stream of our own: an entry in it ends a wait for samples
UNAVAILABLE_S = 0.5


@dataclass(frozen=True)
class Counters:
    """What was seen of one stream: `moved` and `lost` since the intake's own counter began."""

    cursor: str = entry_ids.FIRST
    moved: int = 0
    lost: int = 0
    is_kept: bool = True  # false when the store has none for this stream: it is new, or the store lost its files

    def fields(self) -> dict[str, str]:
        return {"cursor": self.cursor, "moved": str(self.moved), "lost": str(self.lost)}


def newly_lost(counters: Counters, *, added: int, length: int) -> int:
    """Return how many entries the app erased since the last look; negative when the intake began anew. Pure."""
    return added - counters.moved - counters.lost - length


class Mover:
    """Moves samples from the intake to the buffer."""

    def __init__(
        self,
        intake: Client,
        buffer: Buffer,
        *,
        streams: Callable[[], dict[str, str]],
        linger_s: float,
        moved: Callable[[], None],
        enforce: Callable[[], float | None] = lambda: None,
    ) -> None:
        self._intake = intake
        self._buffer = buffer
        self._streams = streams
        self._linger_s = linger_s
        self._moved = moved
        self._enforce = enforce  # what limits what apps hold of the intake
        self._poked = threading.Event()
        self._count = COUNT_MAX  # entries asked for at once: less after an answer that was too large for the server

    def poke(self) -> None:
        """Say that other streams are to be watched, or that it is time to end. Any thread."""
        self._poked.set()
        try:
            self._intake.add_marker(WAKE)
        except RedisUnavailable:
            return  # then nobody waits there either

    def run(self, stopping: threading.Event) -> None:
        """Move until `stopping`; poke it to end."""
        is_more = False
        while not stopping.is_set():
            streams = sorted(set(self._streams().values()))
            try:
                due_s = self._enforce()
                self._buffer.name_losses()
                if not streams:
                    self._poked.wait(IDLE_S)
                    self._poked.clear()
                    continue
                if not is_more and self._wait_for_samples(streams, at_most_s=due_s):
                    self._watch(stopping, self._linger_s)
                is_more = False
                for stream in streams:
                    is_more |= self._move_some(stream)
            except RedisUnavailable as error:
                log.warning("samples wait: %s", error)
                is_more = False
                self._wait(stopping)

    def _watch(self, stopping: threading.Event, seconds: float) -> None:
        """Wait, with an eye on who writes more than it may."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not stopping.wait(min(left, LOOK_S)):
            self._enforce()

    def _wait(self, stopping: threading.Event) -> None:
        """Wait until a server may answer again. Apps may go on writing meanwhile: it may be the store that does not."""
        try:
            self._watch(stopping, UNAVAILABLE_S)
        except RedisUnavailable:
            stopping.wait(UNAVAILABLE_S)

    def move(self, stream: str) -> None:
        """Move everything that waits in one stream."""
        while self._move_some(stream):
            pass

    def _move_some(self, stream: str) -> bool:
        """Move some batches of one stream, so that others have their turn; return whether there may be more."""
        try:
            counters = self._counters(stream)
            for _ in range(BATCHES_A_TURN):
                after = self._move_batch(stream, counters)
                if after is None:
                    return False
                counters = after
        except RedisUnavailable:
            # The intake cuts off whoever is owed over 4 MB, and an entry may have 1 MB: so few enough always pass.
            self._count = max(1, self._count // 8)
            raise
        return True

    def _wait_for_samples(self, streams: Sequence[str], *, at_most_s: float | None) -> bool:
        """Wait for samples, or to be poked; return whether there are samples."""
        after = {stream: self._counters(stream).cursor for stream in streams}
        marker = self._intake.stream_info(WAKE)  # before the flag: what is poked between the two is seen by the wait
        if self._poked.is_set():
            self._poked.clear()
            return False
        after[WAKE] = entry_ids.FIRST if marker is None else marker.newest
        block_ms = BLOCK_MS if at_most_s is None else min(BLOCK_MS, int(at_most_s * 1000))
        found = self._intake.wait_for_entries(after, block_ms=block_ms)
        return any(stream != WAKE for stream in found)

    def _counters(self, stream: str) -> Counters:
        fields = self._buffer.cursor(stream)
        if not fields:
            return Counters(is_kept=False)
        return Counters(fields["cursor"], int(fields["moved"]), int(fields["lost"]))

    def finished(self, stream: str, *, shared: bool) -> bool:
        """Return whether all of a stream is moved, whose last writer has gone; then it is forgotten unless `shared`."""
        counters, info = self._counters(stream), self._intake.stream_info(stream)
        if info is not None and (info.length or newly_lost(counters, added=info.added, length=0)):
            return False
        if not shared:
            self._intake.delete(stream)
            self._buffer.forget_cursor(stream)
        return True

    def intake_is_back(self) -> None:
        """Have ids go on above what is moved, where a power cut took the intake's tail: before any app gets in.

        Otherwise a clock that went back as well could give new samples ids that count as moved.
        """
        for stream in sorted(set(self._streams().values())):
            counters = self._counters(stream)
            info = self._intake.stream_info(stream)
            newest = entry_ids.FIRST if info is None else info.newest
            if entry_ids.order(newest) < entry_ids.order(counters.cursor) < entry_ids.order(entry_ids.LAST):
                log.warning("the intake forgot the end of %s, all of which is moved", stream)
                self._intake.go_on_after(stream, counters.cursor, added=counters.moved + counters.lost)

    def _move_batch(self, stream: str, counters: Counters) -> Counters | None:
        """Move the oldest entries above the cursor; return the counters after them, None when nothing is left.

        Counted first, read then: what the app erases in between is missing in the next count, and never in both.
        """
        low = f"({counters.cursor}" if counters.cursor != entry_ids.LAST else entry_ids.LAST
        info, entries = self._intake.look(stream, low=low, count=self._count)
        if info is None:
            return self._begin_anew(stream, Counters()) if counters.moved or counters.lost else None
        if entry_ids.order(info.newest) < entry_ids.order(counters.cursor):
            return self._begin_anew(stream, _as_found(info))
        lost = newly_lost(counters, added=info.added, length=info.length)
        if lost > 0 and not counters.is_kept and self._buffer.has_known(stream):
            return self._begin_anew(
                stream, _as_found(info)
            )  # the store lost its cursor; its gap names what went with it
        if lost < 0:  # a crash before a trim leaves moved entries in the intake: at most one batch
            lost += len(self._intake.entries(stream, high=counters.cursor, count=COUNT_MAX))
            if lost < 0:
                return self._begin_anew(stream, _as_found(info))
            self._trim(stream, counters.cursor)
        if counters.cursor == entry_ids.LAST:
            return self._begin_anew(stream, Counters())
        too_large, taken = fitting(entries)
        if not taken and not too_large and not lost:
            return None
        newest = (taken or entries[:too_large] or [(counters.cursor, [])])[-1][0]
        after = Counters(newest, counters.moved + too_large + len(taken), counters.lost + lost)
        gap_causes = ((lost, "trimmed_by_app"), (too_large, "too_large"))
        self._buffer.append(
            stream,
            count=len(taken),
            format=SAMPLES,
            payload=pack_rows([_at_ms(entry_id) for entry_id, _ in taken], [row for _, row in taken]) if taken else b"",
            gap_causes=[(count, cause) for count, cause in gap_causes if count],
            cursor=(stream, after.fields()),
        )
        self._count = _next_count(self._count, entries, taken)
        self._trim(stream, newest)
        self._moved()
        return after

    def _trim(self, stream: str, through: str) -> None:
        """Drop what is moved. A stream whose ids are used up goes as a whole: it takes nothing more as it is."""
        if through == entry_ids.LAST:
            self._intake.delete(stream)
        else:
            self._intake.trim_through(stream, through)

    def _begin_anew(self, stream: str, counters: Counters) -> Counters:
        """Count from here, and read from the start: what waits in the intake now was never moved as far as we know."""
        log.warning("the intake began %s anew", stream)
        self._buffer.set_cursor(stream, counters.fields())
        return counters


def _as_found(info: StreamInfo) -> Counters:
    return Counters(entry_ids.FIRST, info.added - info.length, 0)


def fitting(entries: Sequence[RawEntry]) -> tuple[int, list[RawEntry]]:
    """Return how many entries at the front are too large to travel, and those after them that fit a batch. Pure."""
    too_large = 0
    taken: list[RawEntry] = []
    left = BYTES_MAX
    for entry in entries:
        size = sum(map(len, entry[1]))
        if size > SAMPLE_BYTES_MAX and not taken:
            too_large += 1
            continue
        left -= size
        if taken and left < 0:
            break
        taken.append(entry)
    return too_large, taken


def _next_count(count: int, entries: Sequence[RawEntry], taken: Sequence[RawEntry]) -> int:
    """Return how many entries to ask for next: about what a batch takes of them, and more only step by step."""
    wanted = COUNT_MAX if len(taken) == len(entries) else len(taken) + len(taken) // 4 + 1
    return min(wanted, count * 2, COUNT_MAX)


def _at_ms(entry_id: str) -> int:
    return min(int(entry_id.partition("-")[0]), 2**63 - 1)
