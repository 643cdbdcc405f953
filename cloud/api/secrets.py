"""Secrets of apps: set sealed, listed without their values, erased."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from broker.appspec import SECRET_BYTES_MAX, AppSpec
from broker.errors import Refused
from broker.ids import Name
from cloud import deploying, scopes
from cloud.api.apps import app_named
from cloud.api.auth import Deployer, Pusher, Reader, check_scope
from cloud.api.context import Ctx
from cloud.api.fleets import fleet_named
from cloud.store import audit, fleets, instances, releases, secrets
from cloud.store.database import Connection
from cloud.store.secrets import Value

router = APIRouter(tags=["secrets"])


class NewValue(BaseModel):
    """A value sealed to the vault, in base64."""

    sealed: Annotated[str, Field(max_length=2 * SECRET_BYTES_MAX)]
    fleet: Name | None = None
    pinned: bool = False  # for the releases that name its version, and for no others


@router.get("/v1/secrets/key")
def key(who: Reader, context: Ctx) -> dict[str, str]:
    """The key of the vault: values are sealed to it by whoever sets them."""
    return {"key": base64.b64encode(context.vault.public).decode()}


@router.get("/v1/apps/{name}/secrets")
def of_app(name: str, who: Reader, context: Ctx) -> dict[str, Any]:
    """What is set, newest first, without values; and who holds which."""
    with context.database.read() as tx:
        app = app_named(tx, who.org, name)
        names = {fleet.fleet: fleet.name for fleet, _ in fleets.counted(tx, who.org)}
        return {"app": app.name, "secrets": [_shown(value, names) for value in secrets.of_app(tx, app.app)]}


@router.put("/v1/apps/{name}/secrets/{secret}")
def put(name: str, secret: Name, body: NewValue, who: Pusher, context: Ctx) -> dict[str, Any]:
    """Set a secret. Devices whose release asks for the newest get it at once; the same value changes nothing."""
    if not body.pinned:
        check_scope(who, scopes.DEPLOY)
    now_ms = context.now_ms
    with context.database.write() as tx:
        app = app_named(tx, who.org, name)
        fleet = None if body.fleet is None else fleet_named(tx, who.org, body.fleet).fleet
        sealed = _decoded(body.sealed)
        value = context.vault.opened(app.app, secret, sealed)
        if len(value) > SECRET_BYTES_MAX:
            raise Refused("too_large", f"a secret has at most {SECRET_BYTES_MAX} bytes, not {len(value)}")
        known = secrets.newest(tx, app.app, secret, fleet=fleet, pinned=body.pinned)
        if known is not None and context.vault.opened(app.app, secret, known.sealed) == value:
            return {"app": app.name, "name": secret, "version": known.version, "changed": False}
        version = secrets.next_version(tx, app.app, secret)
        secrets.add(tx, Value(app.app, secret, version, fleet, body.pinned, sealed, now_ms, who.user_name))
        for instance in instances.of_app(tx, app.app):
            deploying.reissue(tx, instance.fleet)
        audit.add(
            tx, org=who.org, by=who.user_name, action="secret.set", subject=app.app,
            detail=f"{secret} version {version}", now_ms=now_ms,
        )  # fmt: skip
    context.notices.due()
    return {"app": app.name, "name": secret, "version": version, "changed": True}


@router.delete("/v1/apps/{name}/secrets/{secret}", status_code=204)
def erase(name: str, secret: Name, who: Deployer, context: Ctx, fleet: str | None = None) -> Response:
    """Erase all versions for all fleets, or for the one that is named; refused where a deployed release needs it."""
    now_ms = context.now_ms
    with context.database.write() as tx:
        app = app_named(tx, who.org, name)
        of_fleet = None if fleet is None else fleet_named(tx, who.org, fleet).fleet
        if not secrets.erase(tx, app.app, secret, fleet=of_fleet):
            raise Refused("not_found", f"nothing is set as secret {secret!r} of {name}")
        for instance in instances.of_app(tx, app.app):
            if secret in _declared(tx, instance.app, instance.release):
                try:
                    context.issuer.sections_of(tx, who.org, instance.fleet)
                except Refused as error:
                    raise Refused("secret_in_use", f"{name} runs on devices and needs it") from error
                deploying.reissue(tx, instance.fleet)
        audit.add(
            tx, org=who.org, by=who.user_name, action="secret.remove", subject=app.app, detail=secret, now_ms=now_ms
        )
    context.notices.due()
    return Response(status_code=204)


def _declared(tx: Connection, app: str, digest: str) -> frozenset[str]:
    release = releases.get(tx, app, digest)
    assert release is not None  # a foreign key says so
    return frozenset(AppSpec.model_validate_json(release.spec).secrets)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error) as error:
        raise Refused("not_sealed", "the value is not base64") from error


def _shown(value: Value, fleet_names: dict[str, str]) -> dict[str, Any]:
    return {
        "name": value.name,
        "version": value.version,
        "pinned": value.pinned,
        "fleet": None if value.fleet is None else fleet_names.get(value.fleet, value.fleet),
        "created_ms": value.created_ms,
        "by": value.by,
    }
