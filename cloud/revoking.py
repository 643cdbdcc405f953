"""Revoking: a device ends with its certificates in one transaction; the broker is told afterwards (`cloud.revoker`)."""

from __future__ import annotations

from dataclasses import replace

from cloud.pki import serial_of
from cloud.store import audit, devices, due, presence, revocations, secrets
from cloud.store.database import Connection
from cloud.store.devices import Device


def replace_keys(tx: Connection, old: Device, new: Device, *, by: str, now_ms: int) -> None:
    """Let another machine take a device's place: its keys count from now on, the old machine's no more."""
    revocations.add(tx, serial_of(old.certificate), old.device, now_ms=now_ms)
    devices.put_keys(tx, new)
    seen = presence.get(tx, old.device)
    presence.put(tx, replace(seen, conn=None, online=False, birth=None, boots={}, contested=False, accepted=None))
    audit.add(tx, org=old.org, by=by, action="device.replace", subject=old.device, now_ms=now_ms)


def revoke(tx: Connection, device: Device, *, by: str, now_ms: int) -> None:
    """End a device for good: its row stays as a tombstone, so that its id is never used again."""
    revocations.add(tx, serial_of(device.certificate), device.device, now_ms=now_ms)
    devices.end(tx, device.device, now_ms=now_ms)
    due.drop_device(tx, device.device)
    secrets.drop_seals(tx, device.device)
    seen = presence.get(tx, device.device)
    if seen.online:
        presence.put(tx, replace(seen, online=False))
    audit.add(tx, org=device.org, by=by, action="device.revoke", subject=device.device, now_ms=now_ms)
