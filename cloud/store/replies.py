"""Replies of devices, held so that sync can say so."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, insert, select

from broker.messages import Reply
from cloud.store.schema import replies

SHOWN_MAX = 32  # in each sync; a device that re-sends an older one gets it answered as well


def hold(tx: Connection, device: str, reply: Reply, *, now_ms: int) -> bool:
    """Store the reply; return False when its id was held already."""
    if tx.execute(select(replies.c.id).where(replies.c.device == device, replies.c.id == reply.id)).first():
        return False
    row = {"about": reply.about, "ok": reply.ok, "reason": reply.reason, "message": reply.message}
    tx.execute(insert(replies).values(device=device, id=reply.id, received_ms=now_ms, **row))
    return True


def recent(tx: Connection, device: str) -> Sequence[str]:
    found = select(replies.c.id).where(replies.c.device == device).order_by(replies.c.received_ms.desc())
    return [row[0] for row in tx.execute(found.limit(SHOWN_MAX))]
