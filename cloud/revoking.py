"""Revoking: a device ends with its certificates in one transaction; the broker is told afterwards (`cloud.revoker`)."""

from __future__ import annotations

from dataclasses import replace

from cloud.pki import serial_of
from cloud.store import audit, devices, due, presence, revocations
from cloud.store.database import Connection
from cloud.store.devices import Device


def revoke(tx: Connection, device: Device, *, by: str, now_ms: int) -> None:
    """End a device for good: its row stays as a tombstone, so that its id is never used again."""
    revocations.add(tx, serial_of(device.certificate), device.device, now_ms=now_ms)
    devices.end(tx, device.device, now_ms=now_ms)
    due.drop_device(tx, device.device)
    seen = presence.get(tx, device.device)
    if seen.online:
        presence.put(tx, replace(seen, online=False))
    audit.add(tx, org=device.org, by=by, action="device.revoke", subject=device.device, now_ms=now_ms)
