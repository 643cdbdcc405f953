"""Which bytes of a layer come from where in another: by path, by content, by names that differ in a version. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from broker.patches import FRESH_MAX, PREFIX_MAX, Plan, Range, Step
from cloud.patching.tar_entries import Entry, Read, entries

STEPS_MAX = 10_000  # of a segment, as of ranges
READ = 1024**2
_VERSION = re.compile(r"[0-9a-f]*[0-9][0-9a-f]*")
_TRIM_MIN = 64 * 1024  # of a changed file from there on, equal ends are copied instead of compressed again


@dataclass(frozen=True)
class Segment:
    """A segment to be: its plan, and where in the result its fresh bytes lie."""

    plan: Plan
    fresh: Sequence[Range]


Listed = Sequence[tuple[Entry, bytes]]


def listed(read: Read, size: int) -> Listed:
    """Return what a tar holds, each with the digest of its content."""
    return [(entry, _digest(read, entry)) for entry in entries(read, size)]


def segments(base: Read, in_base: Listed, result: Read, in_result: Listed) -> list[Segment]:
    """Return how the result is made of the base."""
    known = _Known(in_base)
    making = _Making()
    for entry, digest in in_result:
        old, is_same = known.find(entry, digest)
        if old is None:
            making.fresh(Range(entry.start, entry.end - entry.start), ())
        elif not is_same:
            making.fresh(Range(entry.start, entry.data - entry.start), [Range(old.start, old.data - old.start)])
            _changed(making, base, old, result, entry)
        elif _head(base, old) == _head(result, entry) and old.end - old.data == entry.end - entry.data:
            making.copy(Range(old.start, old.end - old.start))
        else:
            making.fresh(Range(entry.start, entry.data - entry.start), [Range(old.start, old.data - old.start)])
            making.copy(Range(old.data, entry.size))
            making.fresh(Range(entry.data + entry.size, entry.end - entry.data - entry.size), ())
    return making.ended()


class _Known:
    """The entries of the base, by what they can be found."""

    def __init__(self, found: Listed) -> None:
        self._digests = dict(found)
        self._by_path = {entry.path: entry for entry, _ in found}
        self._by_digest = {digest: entry for entry, digest in found if entry.size}
        self._by_form = {_VERSION.sub("#", entry.path): entry for entry, _ in found if entry.size}
        self._by_name = {_VERSION.sub("#", entry.path.rpartition("/")[2]): entry for entry, _ in found if entry.size}

    def find(self, entry: Entry, digest: bytes) -> tuple[Entry | None, bool]:
        """Return the entry that is most alike, and whether its content is the same."""
        at_path = self._by_path.get(entry.path)
        if at_path is not None and self._digests[at_path] == digest:
            return at_path, True
        same = self._by_digest.get(digest) if entry.size else None
        if same is not None:
            return same, True
        form = _VERSION.sub("#", entry.path)
        return at_path or self._by_form.get(form) or self._by_name.get(form.rpartition("/")[2]), False


class _Making:
    """Collects the bytes of the result in order, and cuts them into segments."""

    def __init__(self) -> None:
        self._done: list[Segment] = []
        self._open = _Open()

    def copy(self, copied: Range) -> None:
        if copied.length:
            if not self._open.extends(copied) and self._open.is_long:
                self._cut()
            self._open.copy(copied)

    def fresh(self, fresh: Range, alike: Sequence[Range]) -> None:
        """Take bytes of the result that resemble ranges of the base."""
        if not fresh.length:
            return
        alike_bytes = sum(each.length for each in alike)
        for part, near in _windows(fresh, alike) if max(fresh.length, alike_bytes) > FRESH_MAX else [(fresh, alike)]:
            near_bytes = sum(each.length for each in near)
            now = self._open
            if now.is_long or now.fresh_bytes + part.length > FRESH_MAX or now.prefix_bytes + near_bytes > PREFIX_MAX:
                self._cut()
            self._open.fresh(part, near)

    def ended(self) -> list[Segment]:
        self._cut()
        return self._done

    def _cut(self) -> None:
        if self._open.steps or self._open.fresh_waiting:
            self._done.append(self._open.closed())
        self._open = _Open()


@dataclass
class _Open:
    prefix: list[Range] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    fresh_ranges: list[Range] = field(default_factory=list)
    fresh_waiting: int = 0  # fresh bytes after the last step
    fresh_bytes: int = 0
    prefix_bytes: int = 0

    @property
    def is_long(self) -> bool:
        return max(len(self.steps), len(self.prefix)) >= STEPS_MAX

    def extends(self, copied: Range) -> bool:
        return bool(self.steps) and not self.fresh_waiting and self.steps[-1].copied.end == copied.start

    def copy(self, copied: Range) -> None:
        if self.extends(copied):
            last = self.steps.pop()
            self.steps.append(Step(last.fresh, Range(last.copied.start, last.copied.length + copied.length)))
        else:
            self.steps.append(Step(self.fresh_waiting, copied))
            self.fresh_waiting = 0

    def fresh(self, fresh: Range, alike: Sequence[Range]) -> None:
        _append(self.fresh_ranges, fresh)
        for each in alike:
            _append(self.prefix, each)
        self.fresh_waiting += fresh.length
        self.fresh_bytes += fresh.length
        self.prefix_bytes += sum(each.length for each in alike)

    def closed(self) -> Segment:
        steps = [*self.steps, Step(self.fresh_waiting, Range(0, 0))] if self.fresh_waiting else self.steps
        return Segment(Plan(self.prefix, steps), self.fresh_ranges)


def _append(ranges: list[Range], another: Range) -> None:
    if ranges and ranges[-1].end == another.start:
        ranges[-1] = Range(ranges[-1].start, ranges[-1].length + another.length)
    elif another.length:
        ranges.append(another)


def _changed(making: _Making, base: Read, old: Entry, result: Read, entry: Entry) -> None:
    """Take the bytes of a file that changed, and its padding; what is equal at the ends of a large one is copied."""
    head = tail = 0
    if min(old.size, entry.size) >= _TRIM_MIN:
        head = _equal(base, old.data, result, entry.data, min(old.size, entry.size))
        tail = _equal_tail(base, old.data + old.size, result, entry.data + entry.size, min(old.size, entry.size) - head)
    making.copy(Range(old.data, head))
    alike = Range(old.data + head, old.size - head - tail)
    making.fresh(Range(entry.data + head, entry.size - head - tail), [alike] if alike.length else ())
    making.copy(Range(old.data + old.size - tail, tail))
    making.fresh(Range(entry.data + entry.size, entry.end - entry.data - entry.size), ())


def _windows(fresh: Range, alike: Sequence[Range]) -> Iterator[tuple[Range, Sequence[Range]]]:
    """Cut what is too large for one segment into parts, each with the bytes of the base that lie about as far in."""
    whole = Range(alike[0].start, alike[-1].end - alike[0].start) if alike else Range(0, 0)
    count = max(-(-fresh.length // (FRESH_MAX * 3 // 4)), 1)
    for number in range(count):
        first, last = fresh.length * number // count, fresh.length * (number + 1) // count
        near_first, near_last = whole.length * number // count, whole.length * (number + 1) // count
        slack = max(0, (PREFIX_MAX - (near_last - near_first)) // 2)
        start, end = max(0, near_first - slack), min(whole.length, near_last + slack, near_first - slack + PREFIX_MAX)
        near = Range(whole.start + start, end - start)
        yield Range(fresh.start + first, last - first), ([near] if near.length else ())


def _equal(base: Read, base_at: int, result: Read, result_at: int, length: int) -> int:
    """Return how many bytes are equal from there on, in steps of a few KiB."""
    step, done = 4096, 0
    while done < length:
        size = min(step, length - done)
        if base(base_at + done, size) != result(result_at + done, size):
            break
        done += size
        step = min(step * 2, READ)
    return done


def _equal_tail(base: Read, base_end: int, result: Read, result_end: int, length: int) -> int:
    step, done = 4096, 0
    while done < length:
        size = min(step, length - done)
        if base(base_end - done - size, size) != result(result_end - done - size, size):
            break
        done += size
        step = min(step * 2, READ)
    return done


def _head(read: Read, entry: Entry) -> bytes:
    return read(entry.start, entry.data - entry.start)


def _digest(read: Read, entry: Entry) -> bytes:
    found = hashlib.sha256()
    for start in range(entry.data, entry.data + entry.size, READ):
        found.update(read(start, min(READ, entry.data + entry.size - start)))
    return found.digest()
