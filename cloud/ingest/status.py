"""Reported states: a newer revision, or one of a newer connection, replaces the one that is held."""

from __future__ import annotations

from dataclasses import replace

from broker.ids import DeviceRef
from broker.messages import RETIRED, Status
from cloud import revoking
from cloud.ingest.presence import is_past
from cloud.ingest.turn import Turn
from cloud.store import desired, devices, presence, status
from cloud.store.presence import Presence
from cloud.store.status import Held


def is_newer(held: Held | None, known: Presence, message: Status) -> bool:
    """Return whether the message should replace what is held."""
    if is_past(known, message.conn):
        return False
    if held is None or held.conn != message.conn:
        return held is None or message.conn.supersedes(held.conn)
    return message.revision > held.revision


class StatusHandler:
    """Writes statuses."""

    def handle(self, turn: Turn, device: DeviceRef, message: Status) -> None:
        known = presence.get(turn.tx, device.device)
        turn.touch(device)
        if not is_newer(status.held(turn.tx, device.device), known, message):
            return
        status.put(turn.tx, device.device, message, now_ms=turn.now_ms)
        if message.accepted != known.accepted:
            claimed = message.accepted.order if message.accepted else (0, 0)
            after = replace(known, accepted=message.accepted, reported=max(known.reported, claimed))
            presence.put(turn.tx, after)
        turn.touch(device).changed = True
        self._retire(turn, device, message)

    def _retire(self, turn: Turn, device: DeviceRef, message: Status) -> None:
        """Revoke a device that says that it has wiped what it was asked to, by the newest desired state."""
        row = devices.get(turn.tx, device.org, device.device)
        if row is None or row.retire is None or message.accepted is None:
            return
        newest = desired.named(turn.tx, device.device)
        wiped = any(c.type == RETIRED and c.status and c.reason == row.retire for c in message.conditions)
        if wiped and newest is not None and message.accepted.digest == newest[0].digest:
            revoking.revoke(turn.tx, row, by="retire", now_ms=turn.now_ms)
            turn.revoked.append(device)
