"""Enrolling devices: tokens for operators to hand over, and what a device says with one."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from broker.enrollment import EnrollmentToken, EnrollPending, EnrollRequest, EnrollResponse, Serial
from broker.errors import Refused
from broker.ids import DeviceRef, Name, new_id
from broker.tls import ca_hash
from cloud import pki, revoking
from cloud.api.auth import Keeper, Reader
from cloud.api.context import Context, Ctx
from cloud.api.devices import device_named
from cloud.api.fleets import fleet_named
from cloud.passwords import new_secret, secret_hash
from cloud.store import audit, devices, enroll_tokens, enrollments, fleets
from cloud.store.database import Connection
from cloud.store.devices import Device
from cloud.store.enroll_tokens import EnrollToken
from cloud.store.enrollments import Enrollment
from cloud.store.tokens import Token

router = APIRouter(tags=["enrollment"])

KEY_NUMBER = 1
PUBLIC_BYTES = 32


class NewToken(BaseModel):
    fleet: Name = fleets.DEFAULT
    uses: Annotated[int, Field(ge=1, le=100_000)] = 1
    ttl_s: Annotated[int, Field(ge=1, le=366 * 24 * 3600)] = 3600
    auto_approve: bool | None = None  # None: who has to be approved follows from how often the token may be used
    serials: Annotated[list[Annotated[Serial, Field(min_length=1)]], Field(max_length=10_000)] = []


class Decision(BaseModel):
    name: Name | None = None
    replaces: Annotated[str, Field(max_length=63)] | None = None  # the id or name of a device


@router.post("/v1/enroll-tokens", status_code=201)
def create_token(body: NewToken, who: Keeper, context: Ctx) -> dict[str, Any]:
    secret, now_ms = new_secret(""), context.now_ms
    expires_ms = now_ms + body.ttl_s * 1000
    with context.database.write() as tx:
        fleet = fleet_named(tx, who.org, body.fleet)
        needs_approval = (body.uses > 1 or bool(body.serials)) if body.auto_approve is None else not body.auto_approve
        row = EnrollToken(
            secret_hash(secret), who.org, fleet.fleet, body.uses, expires_ms, who.user_name, needs_approval,
            json.dumps(body.serials),
        )  # fmt: skip
        enroll_tokens.add(tx, row, now_ms=now_ms)
        audit.add(tx, org=who.org, by=who.user_name, action="enroll_token.create", subject=fleet.fleet, now_ms=now_ms)
    token = EnrollmentToken(url=context.settings.api_url, ca=ca_hash(context.pki.servers.pem), secret=secret)
    return {
        "token": token.text(),
        "fleet": fleet.name,
        "uses": body.uses,
        "expires_ms": expires_ms,
        "needs_approval": needs_approval,
    }


@router.post("/v1/enroll", responses={202: {"model": EnrollPending}})
def enroll(body: EnrollRequest, context: Ctx, response: Response) -> EnrollResponse | EnrollPending:
    """Make a device, or note that a machine wants to be one.

    The same request again gives the same answer, because the first may have been lost, or what was decided meanwhile.
    Nothing but the number of the request is told to a machine that is not approved.
    """
    public = pki.read_request(body.csr)
    identity = _identity_key(body.identity_key)
    hashed, tls_key = secret_hash(body.secret), pki.key_hash(public)
    with context.database.write() as tx:
        device = devices.enrolled_with(tx, enroll_token=hashed, tls_key=tls_key)
        is_new = device is None
        if device is None:
            asked = _asked(tx, body, identity=identity, hashed=hashed, tls_key=tls_key, now_ms=context.now_ms)
            if asked.state == enrollments.PENDING:
                response.status_code = 202
                return EnrollPending(request=asked.request)
            old = None if asked.replaces is None else devices.get(tx, asked.org, asked.replaces)
            if asked.replaces is not None and old is None:
                raise Refused("not_found", "the device whose place this machine was to take is gone")
            ref = DeviceRef(asked.org, new_id("d")) if old is None else old.ref
            certificate = context.pki.issue_device(ref, public, now=dt.datetime.now(dt.UTC))
            device = Device(
                device=ref.device,
                org=ref.org,
                name=_name(tx, ref, asked.name) if old is None else old.name,
                fleet=asked.fleet if old is None else old.fleet,
                enrolled_ms=context.now_ms,
                key_number=KEY_NUMBER if old is None else old.key_number + 1,
                identity_key=identity,
                tls_key=tls_key,
                certificate=certificate,
                trust=context.keys.sealed_trust(ref),
                enroll_token=hashed,
            )
            if old is None:
                _add(tx, context, device, by=asked.by)
            else:
                revoking.replace_keys(tx, old, device, by=asked.by, now_ms=context.now_ms)
                _issue(tx, context, device)  # secrets are sealed to other keys from now on
    if is_new:
        context.notices.enrolled(device.ref)
        context.notices.issued()
    return _response(context, device)


@router.get("/v1/enrollments")
def pending(who: Reader, context: Ctx) -> dict[str, Any]:
    """The machines that wait for an approval."""
    with context.database.read() as tx:
        names = devices.fleet_names(tx, who.org)
        return {"pending": [_shown(row, names) for row in enrollments.pending(tx, who.org)]}


@router.post("/v1/enrollments/{request}/approve")
def approve(request: str, body: Decision, who: Keeper, context: Ctx) -> dict[str, Any]:
    """Let a machine become a device the next time it asks. What it becomes is told then."""
    return _decided(context, who, request, enrollments.APPROVED, body.name, replaces=body.replaces)


@router.post("/v1/enrollments/{request}/reject")
def reject(request: str, who: Keeper, context: Ctx) -> dict[str, Any]:
    return _decided(context, who, request, enrollments.REJECTED, None)


def _decided(
    context: Context, who: Token, request: str, state: str, name: str | None, *, replaces: str | None = None
) -> dict[str, Any]:
    with context.database.write() as tx:
        row = enrollments.get(tx, who.org, request)
        if row is None or row.state != enrollments.PENDING:
            raise Refused("not_found", f"no machine waits for an approval as {request[:80]!r}")
        old = None if replaces is None else device_named(tx, who.org, replaces)
        name = old.name if old is not None else name or row.name
        if old is None and name is not None and state == enrollments.APPROVED and devices.name_taken(tx, who.org, name):
            raise Refused("name_taken", f"there is a device {name!r}")
        enrollments.decide(
            tx, request, state, name=name, by=who.user_name, replaces=None if old is None else old.device
        )
        audit.add(
            tx, org=who.org, by=who.user_name, action=f"enrollment.{state}", subject=request, now_ms=context.now_ms
        )
        return _shown(replace(row, state=state, name=name), devices.fleet_names(tx, who.org))


def _shown(row: Enrollment, fleets_by_id: dict[str, str]) -> dict[str, Any]:
    return {
        "request": row.request,
        "name": row.name,
        "fleet": fleets_by_id[row.fleet],
        "serial": row.serial,
        "host": json.loads(row.host),
        "created_ms": row.created_ms,
        "state": row.state,
        "identity": f"sha256:{hashlib.sha256(row.identity_key).hexdigest()}",
    }


def _asked(
    tx: Connection, body: EnrollRequest, *, identity: bytes, hashed: str, tls_key: str, now_ms: int
) -> Enrollment:
    """Return what is known of this request, noting it where it is new; raise `Refused` when it was rejected."""
    asked = enrollments.of_key(tx, enroll_token=hashed, tls_key=tls_key)
    if asked is not None:
        if asked.state == enrollments.REJECTED:
            raise Refused("enrollment_rejected", "an operator has rejected this machine")
        if asked.identity_key != identity:
            raise Refused("bad_identity_key", "this is another identity key than the one that was to be approved")
        return asked
    token = _usable(tx, hashed, now_ms=now_ms)
    is_listed = body.serial in json.loads(token.serials) and not enrollments.serial_known(tx, hashed, body.serial)
    state = enrollments.PENDING if token.needs_approval and not is_listed else enrollments.APPROVED
    if state == enrollments.APPROVED and body.name is not None and devices.name_taken(tx, token.org, body.name):
        raise Refused("name_taken", f"there is a device {body.name!r}")
    asked = Enrollment(
        request=new_id("q"),
        org=token.org,
        fleet=token.fleet,
        enroll_token=hashed,
        tls_key=tls_key,
        identity_key=identity,
        name=body.name,
        serial=body.serial,
        host=body.host.model_dump_json(),
        created_ms=now_ms,
        state=state,
        by=f"enroll-token of {token.by}"[:63],
    )
    enrollments.add(tx, asked)
    return asked


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
    _issue(tx, context, device)
    audit.add(tx, org=device.org, by=by[:63], action="device.enroll", subject=device.device, now_ms=context.now_ms)


def _issue(tx: Connection, context: Context, device: Device) -> None:
    wanted = context.issuer.sections_of(tx, device.org, device.fleet)
    if wanted:
        context.issuer.issue(tx, device.ref, wanted, now_ms=context.now_ms)


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
