"""Log lines of an organisation's devices, in pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter

from broker.payloads import LINES, unpack_lines
from cloud.api.auth import Reader
from cloud.api.context import Ctx
from cloud.api.telemetry import PAGE, Limit, device_id
from cloud.decoded import page, parse_cursor
from cloud.store import apps, batches, instances
from cloud.store.batches import StoredBatch

router = APIRouter(tags=["logs"])


@router.get("/v1/logs")
def logs(
    *,
    who: Reader,
    context: Ctx,
    device: str = "",
    app: str = "",
    service: str = "",
    after: str = "",
    limit: Limit = 1000,
) -> dict[str, Any]:
    """The app of a line is told by its stream, `<kind>:<app instance or app name>`."""
    cursor = parse_cursor(after)
    with context.database.read() as tx:
        one = device_id(tx, who.org, device)
        names, by_instance = apps.names(tx, who.org), instances.apps_by_instance(tx, who.org)

        def app_of(batch: StoredBatch) -> str:
            tail = batch.stream.partition(":")[2]
            return names[by_instance[tail]] if tail in by_instance else tail

        def fetch(arrival: int) -> Sequence[StoredBatch]:
            return batches.from_arrival(
                tx, who.org, at_least=arrival, format_=LINES, device=one, stream=None, limit=PAGE
            )

        found, following = page(
            fetch,
            unpack_lines,
            after=cursor,
            limit=limit,
            wanted_batch=lambda batch: not app or app_of(batch) == app,
            wanted=lambda line: not service or line.service == service,
        )
    return {
        "lines": [
            {
                "device": element.batch.device,
                "app": app_of(element.batch),
                "service": element.value.service,
                "at_ms": element.value.at_ms,
                "stream": element.value.stream,
                "text": element.value.text,
                "seq": element.seq,
            }
            for element in found
        ],
        "next": str(following) if following is not None else None,
    }
