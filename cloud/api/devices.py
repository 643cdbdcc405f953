"""Devices."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from broker.channels import DESIRED
from broker.codec import open_sealed
from broker.errors import Refused
from broker.messages import DesiredState
from cloud import device_view
from cloud.api.auth import Deployer, Reader
from cloud.api.context import Ctx
from cloud.store import desired, devices
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


@router.delete("/v1/devices/{device}")
def delete_device(device: str, who: Deployer) -> None:
    raise Refused("not_supported", f"devices cannot be deleted yet: {device[:80]!r} stays with {who.org_name}")
