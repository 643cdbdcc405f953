"""Health and the servers' authority: what anyone may ask."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

from cloud.api.context import Ctx

router = APIRouter(tags=["health"])


@router.get("/v1/ca", response_class=PlainTextResponse)
def ca(context: Ctx) -> str:
    """The authority of our servers; whoever pins it compares its hash."""
    return context.pki.servers.pem


@router.get("/v1/health")
def health(context: Ctx) -> dict[str, Any]:
    return {
        "ok": True,
        "store": context.store,
        "version": context.version,
        "broker": context.notices.broker_up(),
        "registry": context.images.answers(),
    }
