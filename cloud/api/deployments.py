"""Deployments: what should run where, and how far each device is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field, StringConstraints

from broker.errors import Refused
from broker.ids import Name
from broker.policy import Grants
from cloud import deploying, scopes
from cloud.api.apps import app_named, release_named
from cloud.api.auth import Deployer, Reader, check_scope
from cloud.api.context import Ctx
from cloud.api.fleets import fleet_named
from cloud.deploying import Wish
from cloud.judge import judge
from cloud.store import apps, audit, deployments, devices, fleets
from cloud.store.deployments import Deployment, Reached

router = APIRouter(tags=["deployments"])

VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]
VariableValue = Annotated[str, StringConstraints(max_length=32 * 1024, pattern=r"^[^\x00]*$")]


class NewDeployment(BaseModel):
    app: Name
    release: Annotated[str, StringConstraints(max_length=100)] = "latest"
    fleet: Name = fleets.DEFAULT
    variables: Annotated[Mapping[VariableName, VariableValue], Field(max_length=256)] = {}
    force: bool = False
    grants: Grants | None = None


@router.post("/v1/deployments", status_code=201)
def create(body: NewDeployment, who: Deployer, context: Ctx) -> dict[str, Any]:
    """Issue a release to every device of a fleet; of a large one, to the first devices before this answers.

    `force` makes devices try again what they had judged as bad, and not mind the app's update lock. `grants` replace
    those that the app has in this fleet; without, these stay. They need a scope of their own.
    Patches of a release that was just pushed are waited for, a few seconds at most.
    """
    now_ms = context.now_ms
    if body.grants is not None:
        check_scope(who, scopes.GRANT)
        for row, why in body.grants.mistakes():
            raise Refused("bad_grants", f"{row}: {why}")
    with context.database.read() as tx:
        pushed = app_named(tx, who.org, body.app).app
    context.notices.patched(pushed)
    with context.database.write() as tx:
        app = app_named(tx, who.org, body.app)
        release = release_named(tx, app, body.release)
        fleet = fleet_named(tx, who.org, body.fleet)
        wish = Wish(
            who.org, app.app, fleet.fleet, release.digest, dict(body.variables), body.force, who.user_name, body.grants
        )
        deployment = deploying.deploy(tx, context.issuer, wish, now_ms=now_ms)
        deploying.issue_page(tx, context.issuer, now_ms=now_ms, fleet=fleet.fleet, strict=True)
        names = devices.names(tx, who.org)
        reached = deployments.targets_of(tx, deployment.deployment)
        granted = "" if body.grants is None else f" granting {body.grants.model_dump_json()}"
        detail = f"{app.app} {release.digest} to {fleet.fleet}{granted}"
        subject = deployment.deployment
        audit.add(tx, org=who.org, by=who.user_name, action="deploy", subject=subject, detail=detail, now_ms=now_ms)
    context.notices.issued()
    context.notices.due()
    shown = {"deployment": deployment.deployment, "instance": deployment.instance, "release": release.digest}
    context.feed.publish(who.org, "deployment", shown | {"app": app.name, "fleet": fleet.name})
    return shown | {
        "devices": [
            {"device": one.device, "name": names[one.device], "era": one.era, "generation": one.generation}
            for one in reached
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
        reached = deployments.reached(tx, found.deployment)
    return _summary(found, names, fleet_names) | {"devices": [_target(found.instance, one) for one in reached]}


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


def _target(instance: str, reached: Reached) -> dict[str, Any]:
    judgement = judge(reached.target, instance, accepted=reached.accepted, status=reached.status, newest=reached.newest)
    return {
        "device": reached.target.device,
        "name": reached.name,
        "era": reached.target.era,
        "generation": reached.target.generation,
        "state": judgement.state,
        "phase": judgement.phase,
        "message": judgement.message,
        "online": reached.online,
        "last_seen_ms": reached.last_seen_ms,
    }
