"""Devices."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel

from broker.channels import DESIRED
from broker.codec import open_sealed
from broker.errors import Refused
from broker.messages import DesiredState
from cloud import device_view, revoking
from cloud.api.auth import Keeper, Reader
from cloud.api.context import Ctx
from cloud.store import audit, desired, devices, due
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


@router.get("/v1/devices/{device}/desired")
def desired_state(device: str, who: Reader, context: Ctx) -> dict[str, Any]:
    """What the device should run: the newest desired state that was made for it, without what apps are told."""
    with context.database.read() as tx:
        found = device_named(tx, who.org, device)
        newest = desired.newest(tx, found.device)
    if newest is None:
        raise Refused("not_found", f"nothing was ever deployed to {found.name}")
    state: DesiredState = open_sealed(DESIRED, found.ref, newest.envelope, context.keys.desired_verifier).message
    return {
        "era": state.era,
        "generation": state.generation,
        "issued_ms": newest.issued_ms,
        "sent_ms": newest.sent_ms,
        "apps": [
            {
                "instance": section.instance,
                "name": section.name,
                "release": section.release,
                "section": section.digest,
                "attempt": section.attempt,
                "settings": dict(section.settings),
                "grants": section.grants.model_dump(mode="json"),
                "services": sorted(section.spec.services),
            }
            for section in state.apps
        ],
    }


def device_named(tx: Connection, org: str, name: str) -> Device:
    """Return the device of this name or id; raise `Refused` (`not_found`)."""
    found = devices.find(tx, org, name)
    if found is None:
        raise Refused("not_found", f"there is no device {name[:80]!r}")
    return found


class Retiring(BaseModel):
    wipe: Literal["secrets", "all"]


@router.post("/v1/devices/{device}/retire", status_code=202)
def retire_device(device: str, body: Retiring, who: Keeper, context: Ctx) -> dict[str, Any]:
    """Have a device wipe itself; it is revoked when it says that it has."""
    with context.database.write() as tx:
        found = device_named(tx, who.org, device)
        devices.retire(tx, found.device, body.wipe)
        due.add_device(tx, found.device)
        audit.add(
            tx, org=who.org, by=who.user_name, action="device.retire", subject=found.device, detail=body.wipe,
            now_ms=context.now_ms,
        )  # fmt: skip
        shown = device_view.one(tx, replace(found, retire=body.wipe))
    context.notices.due()
    context.notices.reported(found.ref)
    return shown


@router.delete("/v1/devices/{device}")
def revoke_device(device: str, who: Keeper, context: Ctx) -> dict[str, Any]:
    """End a device for good: its certificates, its session, its tokens. Its id stays taken, its name does not."""
    with context.database.write() as tx:
        found = device_named(tx, who.org, device)
        revoking.revoke(tx, found, by=who.user_name, now_ms=context.now_ms)
    context.notices.revoked(found.ref)
    return {"device": found.device, "name": found.name, "revoked": True}
