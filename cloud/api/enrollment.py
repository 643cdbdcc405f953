"""Enrolling devices: tokens for operators to hand over, and what a device says with one."""

from __future__ import annotations

import base64
import datetime as dt
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from broker.enrollment import EnrollmentToken, EnrollRequest, EnrollResponse
from broker.errors import Refused
from broker.ids import DeviceRef, Name, new_id
from broker.tls import ca_hash
from cloud import pki
from cloud.api.auth import Deployer
from cloud.api.context import Context, Ctx
from cloud.api.fleets import fleet_named
from cloud.passwords import new_secret, secret_hash
from cloud.store import audit, devices, enroll_tokens, fleets
from cloud.store.database import Connection
from cloud.store.devices import Device
from cloud.store.enroll_tokens import EnrollToken

router = APIRouter(tags=["enrollment"])

KEY_NUMBER = 1
PUBLIC_BYTES = 32


class NewToken(BaseModel):
    fleet: Name = fleets.DEFAULT
    uses: Annotated[int, Field(ge=1, le=100_000)] = 1
    ttl_s: Annotated[int, Field(ge=1, le=366 * 24 * 3600)] = 3600


@router.post("/v1/enroll-tokens", status_code=201)
def create_token(body: NewToken, who: Deployer, context: Ctx) -> dict[str, Any]:
    secret, now_ms = new_secret(""), context.now_ms
    expires_ms = now_ms + body.ttl_s * 1000
    with context.database.write() as tx:
        fleet = fleet_named(tx, who.org, body.fleet)
        row = EnrollToken(secret_hash(secret), who.org, fleet.fleet, body.uses, expires_ms, who.user_name)
        enroll_tokens.add(tx, row, now_ms=now_ms)
        audit.add(tx, org=who.org, by=who.user_name, action="enroll_token.create", subject=fleet.fleet, now_ms=now_ms)
    token = EnrollmentToken(url=context.settings.api_url, ca=ca_hash(context.pki.servers.pem), secret=secret)
    return {"token": token.text(), "fleet": fleet.name, "uses": body.uses, "expires_ms": expires_ms}


@router.post("/v1/enroll")
def enroll(body: EnrollRequest, context: Ctx) -> EnrollResponse:
    """Make a device. The same request again gives the same device, because the first answer may have been lost."""
    public = pki.read_request(body.csr)
    identity = _identity_key(body.identity_key)
    hashed, tls_key = secret_hash(body.secret), pki.key_hash(public)
    with context.database.write() as tx:
        device = devices.enrolled_with(tx, enroll_token=hashed, tls_key=tls_key)
        is_new = device is None
        if device is None:
            token = _usable(tx, hashed, now_ms=context.now_ms)
            ref = DeviceRef(token.org, new_id("d"))
            certificate = context.pki.issue_device(ref, public, now=dt.datetime.now(dt.UTC))
            device = Device(
                device=ref.device,
                org=ref.org,
                name=_name(tx, ref, body.name),
                fleet=token.fleet,
                enrolled_ms=context.now_ms,
                key_number=KEY_NUMBER,
                identity_key=identity,
                tls_key=tls_key,
                certificate=certificate,
                trust=context.keys.sealed_trust(ref),
                enroll_token=hashed,
            )
            _add(tx, context, device, by=f"enroll-token of {token.by}")
    if is_new:
        context.notices.enrolled(device.ref)
        context.notices.issued()
    return _response(context, device)


def _usable(tx: Connection, hashed: str, *, now_ms: int) -> EnrollToken:
    token = enroll_tokens.find(tx, hashed)
    if token is None or token.uses_left <= 0 or token.expires_ms <= now_ms:
        raise Refused("token_used", "the enrollment token is unknown, used up or expired")
    enroll_tokens.use(tx, hashed)
    return token


def _name(tx: Connection, ref: DeviceRef, wanted: str | None) -> str:
    if wanted is None:
        return ref.device
    if devices.name_taken(tx, ref.org, wanted):
        raise Refused("name_taken", f"there is a device {wanted!r}")
    return wanted


def _add(tx: Connection, context: Context, device: Device, *, by: str) -> None:
    """Store the device; what its fleet runs is issued to it at once."""
    devices.add(tx, device)
    wanted = context.issuer.sections_of(tx, device.org, device.fleet)
    if wanted:
        context.issuer.issue(tx, device.ref, wanted, now_ms=context.now_ms)
    audit.add(tx, org=device.org, by=by[:63], action="device.enroll", subject=device.device, now_ms=context.now_ms)


def _identity_key(text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise Refused("bad_identity_key", "the identity key is not base64") from error
    if len(key) != PUBLIC_BYTES:
        raise Refused("bad_identity_key", f"an identity key has {PUBLIC_BYTES} bytes, not {len(key)}")
    return key


def _response(context: Context, device: Device) -> EnrollResponse:
    settings = context.settings
    return EnrollResponse(
        org=device.org,
        device=device.device,
        name=device.name,
        certificate=device.certificate,
        brokers=(str(settings.broker),),
        registry=str(settings.registry),
        mac_key=_base64(context.keys.mac(device.ref, device.key_number).key),
        root_key=_base64(context.keys.root.public),
        trust=_base64(device.trust),
        keepalive_s=settings.keepalive_s,
    )


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
