"""Replies of devices, held so that sync can say so."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select

from broker.messages import Reply
from cloud.store.schema import replies


def hold(tx: Connection, device: str, reply: Reply, *, now_ms: int) -> bool:
    """Store the reply; return False when its id was held already."""
    if tx.execute(select(replies.c.id).where(replies.c.device == device, replies.c.id == reply.id)).first():
        return False
    row = {"about": reply.about, "ok": reply.ok, "reason": reply.reason, "message": reply.message}
    tx.execute(insert(replies).values(device=device, id=reply.id, received_ms=now_ms, **row))
    return True


def forget(tx: Connection, *, received_before_ms: int) -> None:
    tx.execute(delete(replies).where(replies.c.received_ms < received_before_ms))
