"""Bundles: what devices get and say where no link reaches them; the same envelopes, carried as files."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, StringConstraints

from broker.appspec import AppSpec
from broker.channels import DESIRED, STATUS
from broker.codec import open_sealed
from broker.enrollment import Base64
from broker.errors import Refused
from broker.ids import Name
from broker.messages import DesiredState, Status
from cloud.api.apps import app_named, release_named
from cloud.api.auth import Deployer
from cloud.api.context import Context, Ctx
from cloud.api.devices import device_named
from cloud.api.fleets import fleet_named
from cloud.ingest.status import StatusHandler
from cloud.ingest.turn import Turn
from cloud.store import audit, deployments, desired, devices, releases, status
from cloud.store.database import Connection
from cloud.store.devices import Device

router = APIRouter(tags=["bundles"])

DEVICES_MAX = 200  # of one bundle: what is more is made fleet by fleet, or device by device

Text = Annotated[str, StringConstraints(max_length=100)]


@router.get("/v1/bundle")
def bundle(
    who: Deployer,
    context: Ctx,
    *,
    app: Name | None = None,
    release: Text = "latest",
    fleet: Name | None = None,
    device: Text | None = None,
    deployment: Text | None = None,
) -> dict[str, Any]:
    """The newest desired state of each device that should run a release, as it is sent, and the images it names."""
    with context.database.read() as tx:
        if deployment is not None:
            found = deployments.get(tx, who.org, deployment)
            if found is None:
                raise Refused("not_found", f"there is no deployment {deployment[:80]!r}")
            wanted, digest = found.app, found.release
            there: Sequence[Device] = devices.of_fleet(tx, who.org, found.fleet)
        elif app is not None:
            named = app_named(tx, who.org, app)
            wanted, digest = named.app, release_named(tx, named, release).digest
            there = (
                devices.of_org(tx, who.org)
                if fleet is None
                else devices.of_fleet(tx, who.org, fleet_named(tx, who.org, fleet).fleet)
            )
        else:
            raise Refused("bad_request", "a bundle is made of an app's release, or of a deployment")
        if device is not None:
            chosen = device_named(tx, who.org, device)
            there = [one for one in there if one.device == chosen.device]
        entries = [entry for one in there if (entry := _entry(tx, context, one, app=wanted, release=digest))]
    if not entries:
        raise Refused("not_deployed", f"no device of these should run {digest[:19]}: deploy it first")
    if len(entries) > DEVICES_MAX:
        raise Refused("too_many_devices", f"{len(entries)} devices should run it; a bundle has {DEVICES_MAX} at most")
    return {"release": digest, "devices": entries}


def _entry(tx: Connection, context: Context, device: Device, *, app: str, release: str) -> dict[str, Any] | None:
    """Return what a bundle has for a device; None where it should not run the release."""
    newest = desired.newest(tx, device.device)
    if newest is None:
        return None
    state: DesiredState = open_sealed(DESIRED, device.ref, newest.envelope, context.keys.desired_verifier).message
    if all((section.app, section.release) != (app, release) for section in state.apps):
        return None
    reported = status.get(tx, device.device)
    return {
        "org": device.org,
        "device": device.device,
        "name": device.name,
        "era": state.era,
        "generation": state.generation,
        "desired": base64.b64encode(newest.envelope).decode(),
        "trust": base64.b64encode(device.trust).decode(),
        "images": list(_images(section.spec for section in state.apps).values()),
        "holds": list(_held(tx, state, None if reported is None else reported.status).values()),
    }


def _images(specs: Iterable[AppSpec]) -> dict[str, dict[str, Any]]:
    images = [service.image for spec in specs for service in spec.services.values()]
    return {
        image.digest: {"repository": image.repository, "digest": image.digest, "unpacked_bytes": image.unpacked_bytes}
        for image in images
    }


def _held(tx: Connection, state: DesiredState, reported: Status | None) -> Mapping[str, Any]:
    """Return the images of the releases that the device has said to run: their layers need not travel."""
    app_of = {section.instance: section.app for section in state.apps}
    held: dict[str, Any] = {}
    for one in () if reported is None else reported.instances:
        if one.state != "converged" or one.instance not in app_of:
            continue
        release = releases.get(tx, app_of[one.instance], one.release)
        if release is not None:
            held |= _images([AppSpec.model_validate_json(release.spec)])
    return held


class Carried(BaseModel):
    """A status as it would have been sent."""

    status: Annotated[Base64, StringConstraints(max_length=2 * STATUS.size_max)]


@router.post("/v1/devices/{device}/status")
def carried(device: str, body: Carried, who: Deployer, context: Ctx) -> dict[str, Any]:
    """Take a status that was carried as a file: believed by its MAC, and newer than what is held, or left alone."""
    with context.database.read() as tx:
        found = device_named(tx, who.org, device)
    key = context.keys.mac(found.ref, found.key_number)
    try:
        sealed = base64.b64decode(body.status)
    except ValueError as error:
        raise Refused("malformed", "the status is not base64") from error
    message: Status = open_sealed(STATUS, found.ref, sealed, key).message
    now_ms = context.now_ms
    with context.database.write() as tx:
        turn = Turn(tx, now_ms)
        StatusHandler().handle(turn, found.ref, message)
        news = any(touched.changed for touched in turn.touched.values())
        if news:
            audit.add(tx, org=who.org, by=who.user_name, action="status.import", subject=found.device, now_ms=now_ms)
    if news:
        context.notices.reported(found.ref)
    accepted = None if message.accepted is None else message.accepted.model_dump()
    return {"device": found.name, "news": news, "accepted": accepted}
