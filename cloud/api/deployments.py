"""Deployments: what should run where, and how far each device is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field, StringConstraints

from broker.errors import Refused
from broker.ids import Name
from cloud import deploying
from cloud.api.apps import app_named, release_named
from cloud.api.auth import Deployer, Reader
from cloud.api.context import Ctx
from cloud.api.fleets import fleet_named
from cloud.deploying import Wish
from cloud.judge import judge
from cloud.store import apps, audit, deployments, desired, devices, fleets, presence, status
from cloud.store.database import Connection
from cloud.store.deployments import Deployment
from cloud.store.rows import Target

router = APIRouter(tags=["deployments"])

VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]
VariableValue = Annotated[str, StringConstraints(max_length=32 * 1024, pattern=r"^[^\x00]*$")]


class NewDeployment(BaseModel):
    app: Name
    release: Annotated[str, StringConstraints(max_length=100)] = "latest"
    fleet: Name = fleets.DEFAULT
    variables: Annotated[Mapping[VariableName, VariableValue], Field(max_length=256)] = {}
    force: bool = False


@router.post("/v1/deployments", status_code=201)
def create(body: NewDeployment, who: Deployer, context: Ctx) -> dict[str, Any]:
    """Issue a release to every device of a fleet. `force` makes devices try again what they had judged as bad."""
    now_ms = context.now_ms
    with context.database.write() as tx:
        app = app_named(tx, who.org, body.app)
        release = release_named(tx, app, body.release)
        fleet = fleet_named(tx, who.org, body.fleet)
        wish = Wish(who.org, app.app, fleet.fleet, release.digest, dict(body.variables), body.force, who.user_name)
        deployment, issued = deploying.deploy(tx, context.issuer, wish, now_ms=now_ms)
        detail = f"{app.app} {release.digest} to {fleet.fleet}"
        subject = deployment.deployment
        audit.add(tx, org=who.org, by=who.user_name, action="deploy", subject=subject, detail=detail, now_ms=now_ms)
    context.notices.issued()
    shown = {"deployment": deployment.deployment, "instance": deployment.instance, "release": release.digest}
    context.feed.publish(who.org, "deployment", shown | {"app": app.name, "fleet": fleet.name})
    return shown | {
        "devices": [
            {"device": device.device, "name": device.name, "era": row.era, "generation": row.generation}
            for device, row in issued
        ]
    }


@router.get("/v1/deployments")
def all_deployments(who: Reader, context: Ctx) -> dict[str, Any]:
    with context.database.read() as tx:
        found = deployments.of_org(tx, who.org)
        names, fleet_names = apps.names(tx, who.org), devices.fleet_names(tx, who.org)
    return {"deployments": [_summary(one, names, fleet_names) for one in found]}


@router.get("/v1/deployments/{deployment}")
def one_deployment(deployment: str, who: Reader, context: Ctx) -> dict[str, Any]:
    with context.database.read() as tx:
        found = deployments.get(tx, who.org, deployment)
        if found is None:
            raise Refused("not_found", f"there is no deployment {deployment[:80]!r}")
        names, fleet_names = apps.names(tx, who.org), devices.fleet_names(tx, who.org)
        targets = [_target(tx, found, target) for target in deployments.targets_of(tx, found.deployment)]
    return _summary(found, names, fleet_names) | {"devices": [target for target in targets if target is not None]}


def _summary(found: Deployment, names: Mapping[str, str], fleet_names: Mapping[str, str]) -> dict[str, Any]:
    return {
        "deployment": found.deployment,
        "app": names[found.app],
        "instance": found.instance,
        "release": found.release,
        "fleet": fleet_names[found.fleet],
        "created_ms": found.created_ms,
        "by": found.by,
    }


def _target(tx: Connection, deployment: Deployment, target: Target) -> dict[str, Any] | None:
    device = devices.get(tx, deployment.org, target.device)
    if device is None:
        return None
    seen, reported = presence.get(tx, target.device), status.get(tx, target.device)
    newest = desired.named(tx, target.device)
    judgement = judge(
        target,
        deployment.instance,
        accepted=seen.accepted,
        status=reported.status if reported else None,
        newest=newest[0] if newest else None,
    )
    return {
        "device": device.device,
        "name": device.name,
        "era": target.era,
        "generation": target.generation,
        "state": judgement.state,
        "message": judgement.message,
        "online": seen.online,
        "last_seen_ms": seen.last_seen_ms,
    }
