"""Log lines of an organisation's devices, in pages."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from broker.payloads import LINES, unpack_lines
from cloud.api.auth import Reader
from cloud.api.context import Ctx
from cloud.api.telemetry import Limit, Wanted, device_id, read
from cloud.store import apps, instances
from cloud.store.batches import Of, StoredBatch

SinceMs = Annotated[int, Query(ge=0, lt=2**53)]

router = APIRouter(tags=["logs"])


@router.get("/v1/logs")
def logs(
    *,
    who: Reader,
    context: Ctx,
    device: str = "",
    app: str = "",
    service: str = "",
    since_ms: SinceMs = 0,
    after: str = "",
    before: str = "",
    newest: bool = False,
    limit: Limit = 1000,
) -> dict[str, Any]:
    """Lines in the order in which they came: from `after` on, or, with `newest`, the last ones there are.

    `since_ms` (of 1970) leaves out lines that the engine stamped earlier. The app of a line is told by its stream,
    `<kind>:<app instance or app name>`.
    """
    with context.database.read() as tx:
        names, by_instance = apps.names(tx, who.org), instances.apps_by_instance(tx, who.org)

        def app_of(batch: StoredBatch) -> str:
            tail = batch.stream.partition(":")[2]
            return names[by_instance[tail]] if tail in by_instance else tail

        found, cursors = read(
            tx,
            Of(who.org, LINES, device_id(tx, who.org, device)),
            unpack_lines,
            Wanted(after, before, newest, limit),
            only=lambda line: (not service or line.service == service) and line.at_ms >= since_ms,
            only_batch=lambda batch: (not app or app_of(batch) == app) and batch.received_ms >= since_ms,
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
        **cursors,
    }
