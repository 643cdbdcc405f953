"""Telemetry: samples and gaps of an organisation's devices, in pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query

from broker.payloads import SAMPLES, unpack_samples
from cloud.api.auth import Reader
from cloud.api.context import Ctx
from cloud.api.devices import device_named
from cloud.decoded import page, parse_cursor
from cloud.store import batches, gaps
from cloud.store.batches import StoredBatch
from cloud.store.database import Connection

router = APIRouter(tags=["telemetry"])

Limit = Annotated[int, Query(ge=1, le=10_000)]
GAPS_MAX = 1000
PAGE = 64  # batches read at once


@router.get("/v1/telemetry")
def telemetry(
    *, who: Reader, context: Ctx, device: str = "", stream: str = "", after: str = "", limit: Limit = 1000
) -> dict[str, Any]:
    cursor = parse_cursor(after)
    with context.database.read() as tx:
        one = device_id(tx, who.org, device)

        def fetch(arrival: int) -> Sequence[StoredBatch]:
            return batches.from_arrival(
                tx, who.org, at_least=arrival, format_=SAMPLES, device=one, stream=stream or None, limit=PAGE
            )

        found, following = page(fetch, unpack_samples, after=cursor, limit=limit)
        lost = gaps.of_org(tx, who.org, device=one, stream=stream or None, limit=GAPS_MAX)
    return {
        "samples": [
            {
                "device": element.batch.device,
                "stream": element.batch.stream,
                "epoch": element.batch.epoch,
                "seq": element.seq,
                "at_ms": element.value.at_ms,
                "fields": element.value.fields,
            }
            for element in found
        ],
        "gaps": [vars(gap) for gap in lost],
        "next": str(following) if following is not None else None,
    }


def device_id(tx: Connection, org: str, id_or_name: str) -> str | None:
    """Return the id of the device that a query names, None when it names none; raise `Refused` (`not_found`)."""
    if not id_or_name:
        return None
    return device_named(tx, org, id_or_name).device
