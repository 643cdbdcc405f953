"""Telemetry: samples and gaps of an organisation's devices in pages, and the proof that nothing else is missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Query

from broker.payloads import SAMPLES, unpack_samples
from cloud.api.auth import Reader
from cloud.api.context import Ctx
from cloud.api.devices import device_named
from cloud.audit import Rows, audited, totals
from cloud.decoded import Cursor, Element, page, page_back, parse_cursor, shown
from cloud.ranges import NOTHING, Held, Range
from cloud.store import batches, cursors, gaps, presence
from cloud.store.batches import Of, StoredBatch
from cloud.store.database import Connection

router = APIRouter(tags=["telemetry"])

Limit = Annotated[int, Query(ge=1, le=10_000)]
GAPS_MAX = 1000
PAGE = 64  # batches read at once
T = TypeVar("T")


@router.get("/v1/telemetry")
def telemetry(
    *,
    who: Reader,
    context: Ctx,
    device: str = "",
    stream: str = "",
    after: str = "",
    before: str = "",
    newest: bool = False,
    limit: Limit = 1000,
) -> dict[str, Any]:
    """Samples in the order in which they came: from `after` on, or, with `newest`, the last ones there are."""
    with context.database.read() as tx:
        one = device_id(tx, who.org, device)
        of = Of(who.org, SAMPLES, one, stream or None)
        found, cursors = read(tx, of, unpack_samples, Wanted(after, before, newest, limit))
        lost = gaps.of_org(tx, who.org, device=one, stream=stream or None, limit=GAPS_MAX)
    return {
        "samples": [
            {
                "device": element.batch.device,
                "stream": element.batch.stream,
                "epoch": element.batch.epoch,
                "seq": element.seq,
                "at_ms": element.value.at_ms,
                **shown(element.value.fields),
            }
            for element in found
        ],
        "gaps": [vars(gap) for gap in lost],
        **cursors,
    }


@router.get("/v1/devices/{device}/telemetry/audit")
def audit(device: str, who: Reader, context: Ctx, stream: str = "") -> dict[str, Any]:
    """What became of every number of a device's streams, from the rows that are stored."""
    with context.database.read() as tx:
        one = device_named(tx, who.org, device).device
        birth = presence.get(tx, one).birth
        kept = {} if birth is None else {(each.stream, each.epoch): each.last for each in birth.streams}
        held = {(c.stream, c.epoch): c.held for c in cursors.of_device(tx, one) if c.epoch != cursors.FOLDED}
        places = sorted(batches.places_of(tx, one) | gaps.places_of(tx, one) | held.keys() | kept.keys())
        findings = [
            audited(
                *place,
                Rows(batches.parts_of(tx, one, *place), gaps.causes_of(tx, one, *place)),
                acked=_ranges(held.get(place, NOTHING)),
                kept_to=kept.get(place, 0),
            )
            for place in places
            if not stream or place[0] == stream
        ]
    return {
        "device": one,
        "complete": all(found.complete for found in findings),
        "totals": totals(findings),
        "streams": [found.plain() for found in findings],
    }


def _ranges(held: Held) -> list[Range]:
    return [(1, held.contiguous), *held.ranges] if held.contiguous else list(held.ranges)


@dataclass(frozen=True)
class Wanted:
    """Which page of what is stored: `after` and `before` are cursors as they came."""

    after: str
    before: str
    newest: bool
    limit: int


def read(
    tx: Connection,
    of: Of,
    unpack: Callable[[bytes], list[T]],
    wanted: Wanted,
    *,
    only: Callable[[T], bool] = lambda _value: True,
    only_batch: Callable[[StoredBatch], bool] = lambda _batch: True,
) -> tuple[list[Element[T]], dict[str, str | None]]:
    """Return a page of elements, and the cursors to go on with, `next` and `previous`."""
    after, before = parse_cursor(wanted.after), parse_cursor(wanted.before) if wanted.before else None
    if not wanted.newest and before is None:
        found, following = page(
            lambda arrival: batches.from_arrival(tx, of, at_least=arrival, limit=PAGE),
            unpack,
            after=after,
            limit=wanted.limit,
            wanted=only,
            wanted_batch=only_batch,
        )
        return found, {"next": _text(following), "previous": None}
    found, previous, following = page_back(
        lambda arrival: batches.back_from_arrival(tx, of, at_most=arrival, limit=PAGE),
        unpack,
        before=before,
        limit=wanted.limit,
        wanted=only,
        wanted_batch=only_batch,
    )
    return found, {"next": _text(following), "previous": _text(previous)}


def _text(cursor: Cursor | None) -> str | None:
    return None if cursor is None else str(cursor)


def device_id(tx: Connection, org: str, id_or_name: str) -> str | None:
    """Return the id of the device that a query names, None when it names none; raise `Refused` (`not_found`)."""
    if not id_or_name:
        return None
    return device_named(tx, org, id_or_name).device
