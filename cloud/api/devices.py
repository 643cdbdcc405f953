"""Devices."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from broker.errors import Refused
from cloud import device_view
from cloud.api.auth import Deployer, Reader
from cloud.api.context import Ctx
from cloud.store import devices
from cloud.store.database import Connection
from cloud.store.devices import Device

router = APIRouter(tags=["devices"])


@router.get("/v1/devices")
def all_devices(who: Reader, context: Ctx) -> dict[str, Any]:
    with context.database.read() as tx:
        return {"devices": device_view.of_org(tx, who.org)}


@router.get("/v1/devices/{device}")
def one_device(device: str, who: Reader, context: Ctx) -> dict[str, Any]:
    with context.database.read() as tx:
        return device_view.one(tx, device_named(tx, who.org, device))


def device_named(tx: Connection, org: str, name: str) -> Device:
    """Return the device of this name or id; raise `Refused` (`not_found`)."""
    found = devices.find(tx, org, name)
    if found is None:
        raise Refused("not_found", f"there is no device {name[:80]!r}")
    return found


@router.delete("/v1/devices/{device}")
def delete_device(device: str, who: Deployer) -> None:
    raise Refused("not_supported", f"devices cannot be deleted yet: {device[:80]!r} stays with {who.org_name}")
