"""Deploying: changes what a fleet should run, and issues it to every device in the same transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from broker.ids import new_id
from cloud.issuing import Issuer
from cloud.store import deployments, devices, instances
from cloud.store.database import Connection
from cloud.store.deployments import Deployment
from cloud.store.desired import Desired
from cloud.store.devices import Device
from cloud.store.rows import Instance, Target


@dataclass(frozen=True)
class Wish:
    """What an operator asks for. `again` makes devices retry a release that they had judged as bad."""

    org: str
    app: str
    fleet: str
    release: str
    variables: Mapping[str, str]
    again: bool
    by: str


def deploy(
    tx: Connection, issuer: Issuer, wish: Wish, *, now_ms: int
) -> tuple[Deployment, list[tuple[Device, Desired]]]:
    """Return the deployment and the desired state of each device of the fleet."""
    known = instances.find(tx, wish.app, wish.fleet)
    instance = known or Instance(new_id("i"), wish.org, wish.app, wish.fleet, wish.release, {}, 0)
    attempt = instance.attempt + 1 if wish.again else instance.attempt
    instance = replace(instance, release=wish.release, variables=wish.variables, attempt=attempt)
    instances.put(tx, instance, now_ms=now_ms)
    issued = reissue(tx, issuer, wish.org, wish.fleet, now_ms=now_ms)
    section = next(
        one.digest for one in issuer.sections_of(tx, wish.org, wish.fleet) if one.instance == instance.instance
    )
    assert section is not None
    deployment = Deployment(
        deployment=new_id("x"),
        org=wish.org,
        app=wish.app,
        instance=instance.instance,
        fleet=wish.fleet,
        release=wish.release,
        variables=wish.variables,
        created_ms=now_ms,
        by=wish.by,
    )
    targets = [Target(device.device, row.era, row.generation, section) for device, row in issued]
    deployments.add(tx, deployment, targets)
    return deployment, issued


def reissue(tx: Connection, issuer: Issuer, org: str, fleet: str, *, now_ms: int) -> list[tuple[Device, Desired]]:
    """Issue what the fleet should run now to each of its devices."""
    wanted = issuer.sections_of(tx, org, fleet)
    return [
        (device, issuer.issue(tx, device.ref, wanted, now_ms=now_ms)) for device in devices.of_fleet(tx, org, fleet)
    ]
