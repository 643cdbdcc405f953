"""The audit log: who changed what, and when."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query

from cloud.api.auth import Admin
from cloud.api.context import Ctx
from cloud.store import audit

router = APIRouter(tags=["audit"])


@router.get("/v1/audit")
def changes(
    who: Admin,
    context: Ctx,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    before: Annotated[int | None, Query(ge=1)] = None,
) -> dict[str, Any]:
    """The newest changes of the organisation, the newest first; `before` an id for the page after."""
    with context.database.read() as tx:
        rows = audit.newest(tx, who.org, limit=limit, before=before)
    return {"changes": [asdict(row) for row in rows]}
