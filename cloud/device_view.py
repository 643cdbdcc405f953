"""A device as operators see it: one shape for the API and the live feed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from broker.messages import Generation
from cloud.store import cursors, desired, devices, presence, status
from cloud.store.cursors import Cursor
from cloud.store.database import Connection
from cloud.store.devices import Device
from cloud.store.presence import Presence
from cloud.store.status import Reported


def one(tx: Connection, device: Device) -> dict[str, Any]:
    """Return the view of one device."""
    return _view(
        device,
        fleet=devices.fleet_names(tx, device.org)[device.fleet],
        wanted=desired.named(tx, device.device),
        seen=presence.get(tx, device.device),
        reported=status.get(tx, device.device),
        streams=cursors.of_device(tx, device.device),
    )


def of_org(tx: Connection, org: str) -> list[dict[str, Any]]:
    """Return the views of all devices of an organisation, by name."""
    fleets = devices.fleet_names(tx, org)
    seen, reported, streams = presence.of_org(tx, org), status.of_org(tx, org), cursors.of_org(tx, org)
    return [
        _view(
            device,
            fleet=fleets[device.fleet],
            wanted=desired.named(tx, device.device),
            seen=seen.get(device.device, Presence(device.device)),
            reported=reported.get(device.device),
            streams=streams.get(device.device, ()),
        )
        for device in devices.of_org(tx, org)
    ]


def _view(
    device: Device,
    *,
    fleet: str,
    wanted: tuple[Generation, bool] | None,
    seen: Presence,
    reported: Reported | None,
    streams: Sequence[Cursor],
) -> dict[str, Any]:
    return {
        "device": device.device,
        "name": device.name,
        "fleet": fleet,
        "enrolled_ms": device.enrolled_ms,
        "online": seen.online,
        "last_seen_ms": seen.last_seen_ms,
        "worker": seen.birth.worker if seen.birth else None,
        "host": seen.birth.host.model_dump(mode="json") if seen.birth else {},
        "policy": seen.birth.policy.model_dump(mode="json") if seen.birth and seen.birth.policy else None,
        "desired": None if wanted is None else wanted[0].model_dump(mode="json") | {"sent": wanted[1]},
        "accepted": seen.accepted.model_dump(mode="json") if seen.accepted else None,
        "status": reported.status.model_dump(mode="json") if reported else None,
        "status_at_ms": reported.received_ms if reported else None,
        "streams": [_stream(cursor) for cursor in streams],
        "contested": seen.contested,
        "retire": device.retire,
    }


def _stream(cursor: Cursor) -> dict[str, Any]:
    return {
        "stream": cursor.stream,
        "epoch": cursor.epoch,
        "contiguous": cursor.held.contiguous,
        "ranges": cursor.held.ranges,
        "stored": cursor.stored,
        "gaps": cursor.gaps,
    }
