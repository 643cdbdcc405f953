"""Telemetry: samples and gaps of an organisation's devices in pages, and the proof that nothing else is missing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Query

from broker.errors import Refused
from broker.payloads import SAMPLES, Sample, unpack_samples
from cloud.api.auth import Reader
from cloud.api.context import Ctx
from cloud.api.devices import device_named
from cloud.audit import Rows, audited, totals
from cloud.decoded import Bounds, Cursor, Element, page, page_back, parse_cursor, sample_shown, stretch
from cloud.ranges import NOTHING, Held, Range
from cloud.store import batches, cursors, expired, gaps, presence
from cloud.store.batches import Of, StoredBatch
from cloud.store.database import Connection

router = APIRouter(tags=["telemetry"])

Limit = Annotated[int, Query(ge=1, le=10_000)]
GAPS_MAX = 1000
PAGE = 64  # batches read at once
MS_MAX = 2**63 - 1
EXPORT_BATCHES_MAX = 1000  # looked at for one answer, however few of their samples are wanted
EXPORT_BYTES_MAX = 4 * 1024 * 1024  # of names and values in one answer
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
        "samples": [sample_shown(element) for element in found],
        "gaps": [vars(gap) for gap in lost],
        **cursors,
    }


@router.get("/v1/telemetry/export")
def export(
    *,
    who: Reader,
    context: Ctx,
    device: str = "",
    app: str = "",
    stream: str = "",
    field: Annotated[tuple[str, ...], Query(max_length=64)] = (),
    from_ms: int = 0,
    until_ms: int = MS_MAX,
    after: str = "",
    limit: Limit = 10_000,
) -> dict[str, Any]:
    """A stretch of all samples in the order in which they came; `more` says whether to ask again, with `next`."""
    if app and stream:
        raise Refused("bad_query", "an app is the stream telemetry:<app>: name one of both")

    def wanted(sample: Sample) -> Sample | None:
        if not from_ms <= sample.at_ms < until_ms:
            return None
        if not field:
            return sample
        kept = {name: sample.fields[name] for name in field if name in sample.fields}
        return Sample(sample.at_ms, kept) if kept else None

    with context.database.read() as tx:
        of = Of(who.org, SAMPLES, device_id(tx, who.org, device), f"telemetry:{app}" if app else stream or None)
        found, following, more = stretch(
            lambda arrival: batches.from_arrival(tx, of, at_least=arrival, limit=PAGE),
            unpack_samples,
            after=parse_cursor(after),
            bounds=Bounds(limit, EXPORT_BATCHES_MAX, EXPORT_BYTES_MAX),
            wanted=wanted,
            size_of=lambda sample: sum(len(name) + len(value) for name, value in sample.fields.items()),
        )
    return {"samples": [sample_shown(element) for element in found], "next": str(following), "more": more}


@router.get("/v1/devices/{device}/telemetry/audit")
def audit(device: str, who: Reader, context: Ctx, stream: str = "") -> dict[str, Any]:
    """What became of every number of a device's streams, from the rows that are stored."""
    with context.database.read() as tx:
        one = device_named(tx, who.org, device).device
        birth = presence.get(tx, one).birth
        kept = {} if birth is None else {(each.stream, each.epoch): each.last for each in birth.streams}
        held = {(c.stream, c.epoch): c.held for c in cursors.of_device(tx, one) if c.epoch != cursors.FOLDED}
        dropped = expired.before_ms(tx, one)
        places = sorted({*batches.places_of(tx, one), *gaps.places_of(tx, one), *held, *kept, *dropped})
        findings = [
            audited(
                *place,
                Rows(
                    batches.parts_of(tx, one, *place),
                    gaps.causes_of(tx, one, *place),
                    expired.ranges_of(tx, one, *place),
                ),
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
        "streams": [
            {**found.plain(), "dropped_before_ms": dropped.get((found.stream, found.epoch))} for found in findings
        ],
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
