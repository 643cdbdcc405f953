"""The live feed over server-sent events: first every device as it is, then whatever happens."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header
from fastapi.responses import Response
from sse_starlette import EventSourceResponse, ServerSentEvent

from cloud import device_view
from cloud.api.auth import Reader
from cloud.api.context import Context, Ctx
from cloud.live import Watcher

router = APIRouter(tags=["events"])

PING_S = 15


@router.get("/v1/events")
async def events(
    who: Reader, context: Ctx, since: int | None = None, last_event_id: Annotated[str, Header()] = ""
) -> Response:
    """Everything an operator watches. A watcher that is too slow is let go, and begins again with the snapshot."""
    if since is None and last_event_id.isascii() and last_event_id.isdigit():
        since = int(last_event_id)
    watcher = context.feed.watch(who.org, since=since)
    return EventSourceResponse(_stream(context, watcher), ping=PING_S, sep="\n")


async def _stream(context: Context, watcher: Watcher) -> AsyncIterator[ServerSentEvent]:
    try:
        shown_id = context.feed.last_id
        for device in await asyncio.to_thread(_snapshot, context, watcher.org):
            yield ServerSentEvent(json.dumps(device, separators=(",", ":")), event="device", id=str(shown_id))
        async for event in watcher:
            yield ServerSentEvent(event.data, event=event.type, id=str(event.id))
    finally:
        context.feed.leave(watcher)


def _snapshot(context: Context, org: str) -> list[dict[str, Any]]:
    with context.database.read() as tx:
        return device_view.of_org(tx, org)
