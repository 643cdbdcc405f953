"""Deploying: what a fleet should run is changed at once; its devices get it issued in pages, also after a crash.

What is asked for and which devices are due are written in one transaction. A page then issues to some of those devices
what their fleet should run by then: the newest wish, whoever's page it is.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from broker.errors import Refused
from broker.ids import DeviceRef, new_id
from broker.policy import Grants
from cloud.issuing import Issuer
from cloud.store import deployments, due, instances
from cloud.store.database import Connection
from cloud.store.deployments import Deployment
from cloud.store.desired import Issued
from cloud.store.rows import Instance

log = logging.getLogger(__name__)

PAGE = 200  # devices a transaction: a fifth of a second in which nothing else is written


@dataclass(frozen=True)
class Wish:
    """What an operator asks for. `force` makes devices retry a release that they judged as bad, in spite of locks."""

    org: str
    app: str
    fleet: str
    release: str
    variables: Mapping[str, str]
    force: bool
    by: str
    grants: Grants | None = None  # None: those that there are


def deploy(tx: Connection, issuer: Issuer, wish: Wish, *, now_ms: int) -> Deployment:
    """Write the deployment with its targets; every device of the fleet is due from now on."""
    known = instances.find(tx, wish.app, wish.fleet)
    instance = known or Instance(new_id("i"), wish.org, wish.app, wish.fleet, wish.release, {}, 0, {}, {})
    instance = replace(
        instance,
        release=wish.release,
        variables=wish.variables,
        attempt=instance.attempt + 1 if wish.force else instance.attempt,
        settings={"force": True} if wish.force else {},
        grants=instance.grants if wish.grants is None else wish.grants.model_dump(mode="json"),
    )
    instances.put(tx, instance, now_ms=now_ms)
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
    deployments.add(tx, deployment, section=section)
    due.add_fleet(tx, wish.fleet)
    return deployment


def reissue(tx: Connection, fleet: str) -> None:
    """Have the devices of a fleet get what it should run now."""
    due.add_fleet(tx, fleet)


def issue_page(
    tx: Connection, issuer: Issuer, *, now_ms: int, fleet: str | None = None, strict: bool = False
) -> Sequence[Issued]:
    """Issue to the next devices that are due, of one fleet only where it is named; return what they have now.

    What does not fit a message is logged and left out, or raised as `Refused` (`desired_too_large`) when `strict`.
    """
    page = due.take(tx, PAGE, fleet=fleet)
    by_fleet: dict[tuple[str, str], list[DeviceRef]] = {}
    for device in page:
        by_fleet.setdefault((device.org, device.fleet), []).append(device.ref)
    issued: list[Issued] = []
    for (org, place), refs in sorted(by_fleet.items()):
        sections = issuer.sections_of(tx, org, place)
        try:
            got = issuer.issue_all(tx, refs, sections, now_ms=now_ms)
        except Refused as error:
            if strict:
                raise
            log.error("fleet %s gets nothing new: %s", place, error)
            deployments.skip(tx, [ref.device for ref in refs])
            continue
        deployments.settle(tx, got, sections=[one.digest or "" for one in sections])
        issued += got
    return issued
