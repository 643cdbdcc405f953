"""Stored batches opened for people: their elements with numbers, in the order in which the batches came, in pages.

A cursor is `<arrival of a batch>.<the number in it to begin with>`. Pages go forward from one, or back from one or from
the end: who wants the newest reads only these.
"""

from __future__ import annotations

import base64
import itertools
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from broker.errors import Refused
from broker.payloads import Sample
from cloud.ingest.batch import parts
from cloud.store.batches import StoredBatch

log = logging.getLogger(__name__)

T = TypeVar("T")
ARRIVAL_MAX = 2**62


@dataclass(frozen=True)
class Cursor:
    """Where to go on."""

    arrival: int = 0
    seq: int = 0

    def __str__(self) -> str:
        return f"{self.arrival}.{self.seq}"


@dataclass(frozen=True)
class Element(Generic[T]):
    """One element with its place."""

    batch: StoredBatch
    seq: int
    value: T


def parse_cursor(text: str) -> Cursor:
    """Return the cursor in `text`, empty meaning the beginning; raise `Refused` (`bad_cursor`) otherwise."""
    if not text:
        return Cursor()
    arrival, _, seq = text.partition(".")
    if not (arrival.isascii() and arrival.isdigit() and seq.isascii() and seq.isdigit() and len(text) < 40):
        raise Refused("bad_cursor", f"{text[:40]!r} is not a cursor: use the `next` of an earlier answer")
    return Cursor(min(int(arrival), ARRIVAL_MAX), int(seq))


def elements(batch: StoredBatch, unpack: Callable[[bytes], list[T]]) -> list[Element[T]]:
    """Return what is in a batch; nothing, and a line in the log, when its payload is not of its format."""
    try:
        values = unpack(batch.payload)
        numbers = parts(batch.first, batch.last, batch.gaps).data
    except Refused as error:
        log.warning("batch %s of %s cannot be read: %s", batch.arrival, batch.device, error)
        return []
    seqs = itertools.chain.from_iterable(range(first, last + 1) for first, last in numbers)
    return [Element(batch, seq, value) for seq, value in zip(seqs, values, strict=False)]


def shown(fields: Mapping[str, str]) -> dict[str, object]:
    """Return the fields of a sample as JSON can say them: what is no text is in `binary`, name and value in base64."""
    texts = {name: value for name, value in fields.items() if _is_text(name) and _is_text(value)}
    if len(texts) == len(fields):
        return {"fields": texts}
    others = [[_base64(name), _base64(value)] for name, value in fields.items() if name not in texts]
    return {"fields": texts, "binary": others}


def sample_shown(element: Element[Sample]) -> dict[str, object]:
    """Return a sample as the API and sinks tell it."""
    return {
        "device": element.batch.device,
        "stream": element.batch.stream,
        "epoch": element.batch.epoch,
        "seq": element.seq,
        "at_ms": element.value.at_ms,
        **shown(element.value.fields),
    }


def _is_text(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode(errors="surrogateescape")).decode()


def page(
    fetch: Callable[[int], Sequence[StoredBatch]],
    unpack: Callable[[bytes], list[T]],
    *,
    after: Cursor,
    limit: int,
    wanted: Callable[[T], bool] = lambda _value: True,
    wanted_batch: Callable[[StoredBatch], bool] = lambda _batch: True,
) -> tuple[list[Element[T]], Cursor | None]:
    """Return up to `limit` wanted elements from `after` on, and where the next page begins.

    `fetch(arrival)` returns some batches from that arrival on, and none at the end. The cursor after the end is good
    for asking again later.
    """
    found: list[Element[T]] = []
    at = after
    while batches := fetch(at.arrival):
        for batch in filter(wanted_batch, batches):
            for element in elements(batch, unpack):
                if (batch.arrival == at.arrival and element.seq < at.seq) or not wanted(element.value):
                    continue
                if len(found) == limit:
                    return found, Cursor(batch.arrival, element.seq)
                found.append(element)
        at = Cursor(batches[-1].arrival + 1, 0)
    return found, at if at != Cursor() else None


@dataclass(frozen=True)
class Bounds:
    """How much a stretch looks at and holds at most, however little of it is wanted. `size` is of what it returns."""

    elements: int
    batches: int
    size: int


def stretch(
    fetch: Callable[[int], Sequence[StoredBatch]],
    unpack: Callable[[bytes], list[T]],
    *,
    after: Cursor,
    bounds: Bounds,
    wanted: Callable[[T], T | None],
    size_of: Callable[[T], int],
) -> tuple[list[Element[T]], Cursor, bool]:
    """Return what is wanted of the elements from `after` on, where to go on, and whether that is not yet the end.

    `wanted` returns of an element what is wanted of it, if anything. `fetch` is as for `page`.
    """
    found: list[Element[T]] = []
    at, looked, size = after, 0, 0
    while looked < bounds.batches and (batches := fetch(at.arrival)):
        for batch in batches:
            for element in elements(batch, unpack):
                if batch.arrival == at.arrival and element.seq < at.seq:
                    continue
                value = wanted(element.value)
                if value is None:
                    continue
                if len(found) == bounds.elements or (found and size + size_of(value) > bounds.size):
                    return found, Cursor(batch.arrival, element.seq), True
                size += size_of(value)
                found.append(Element(batch, element.seq, value))
        looked += len(batches)
        at = Cursor(batches[-1].arrival + 1, 0)
    return found, at, looked >= bounds.batches


def page_back(
    fetch: Callable[[int], Sequence[StoredBatch]],
    unpack: Callable[[bytes], list[T]],
    *,
    before: Cursor | None,
    limit: int,
    wanted: Callable[[T], bool] = lambda _value: True,
    wanted_batch: Callable[[StoredBatch], bool] = lambda _batch: True,
) -> tuple[list[Element[T]], Cursor | None, Cursor | None]:
    """Return the last `limit` wanted elements before a cursor, or of all, in their order; and two cursors: before which
    there may be older ones, None when there are none, and from which on newer ones will be.

    `fetch(arrival)` returns some batches up to that arrival, the newest first, and none at the end.
    """
    found: list[Element[T]] = []
    end = before
    at = ARRIVAL_MAX if before is None else before.arrival
    while batches := fetch(at):
        end = end or Cursor(batches[0].arrival + 1, 0)
        for batch in filter(wanted_batch, batches):
            for element in reversed(elements(batch, unpack)):
                is_past = before is not None and (batch.arrival, element.seq) >= (before.arrival, before.seq)
                if is_past or not wanted(element.value):
                    continue
                if len(found) == limit:
                    return found[::-1], Cursor(found[-1].batch.arrival, found[-1].seq), end
                found.append(element)
        at = batches[-1].arrival - 1
    return found[::-1], None, end
