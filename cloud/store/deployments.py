"""Deployments: what was asked for, and which generation each device got for it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, insert, literal, select, update

from broker.messages import Generation, Status
from cloud.store.desired import Issued
from cloud.store.rows import Target
from cloud.store.schema import deployments, desired, devices, presence, status, targets


@dataclass(frozen=True)
class Deployment:
    deployment: str
    org: str
    app: str
    instance: str
    fleet: str
    release: str
    variables: Mapping[str, str]
    created_ms: int
    by: str


@dataclass(frozen=True)
class Reached:
    """A target with what is known of its device; `newest` is the order of the newest desired state issued to it."""

    target: Target
    name: str
    online: bool
    last_seen_ms: int | None
    accepted: Generation | None
    status: Status | None
    newest: tuple[int, int] | None


_COLUMNS = tuple(deployments.c[name] for name in Deployment.__dataclass_fields__)
_TARGET = (targets.c.device, targets.c.era, targets.c.generation, targets.c.section)


def add(tx: Connection, deployment: Deployment, *, section: str) -> None:
    """Add the deployment with every device of its fleet as a target that nothing was issued to yet."""
    row = {name: getattr(deployment, name) for name in Deployment.__dataclass_fields__}
    tx.execute(insert(deployments).values(**row | {"variables": json.dumps(dict(deployment.variables))}))
    named = (literal(deployment.deployment), devices.c.device, literal(section))
    members = select(*named).where(devices.c.fleet == deployment.fleet, devices.c.deleted_ms.is_(None))
    tx.execute(insert(targets).from_select(["deployment", "device", "section"], members))


def settle(tx: Connection, issued: Sequence[Issued], *, sections: Collection[str]) -> None:
    """Say of the open targets of devices which desired state carries their section, or that none ever will."""
    names = [one.device for one in issued]
    open_ = select(targets.c.section).where(targets.c.device.in_(names), targets.c.generation.is_(None)).distinct()
    numbers: dict[str, Any] = {"era": bindparam("e"), "generation": bindparam("g")}
    for section in {row[0] for row in tx.execute(open_)}.intersection(sections):
        carried = update(targets).where(
            targets.c.device == bindparam("d"), targets.c.generation.is_(None), targets.c.section == section
        )
        tx.execute(carried.values(**numbers), [{"d": one.device, "e": one.era, "g": one.generation} for one in issued])
    skip(tx, names)


def skip(tx: Connection, skipped: Sequence[str]) -> None:
    """Say of what is still open for these devices that it is issued to them no more."""
    open_ = update(targets).where(targets.c.device.in_(skipped), targets.c.generation.is_(None))
    tx.execute(open_.values(era=0, generation=0))


def get(tx: Connection, org: str, deployment: str) -> Deployment | None:
    return next(iter(_found(tx, org, deployments.c.deployment == deployment)), None)


def of_org(tx: Connection, org: str) -> Sequence[Deployment]:
    """Return the organisation's deployments, the newest first."""
    return _found(tx, org)


def targets_of(tx: Connection, deployment: str) -> Sequence[Target]:
    found = select(*_TARGET).where(targets.c.deployment == deployment).order_by(targets.c.device)
    return [Target(*row) for row in tx.execute(found)]


def reached(tx: Connection, deployment: str) -> Sequence[Reached]:
    """Return every target with what its device has reported, in one query: a fleet may be large."""
    newer = desired.alias("newer")
    newest = select(newer.c.era, newer.c.generation).where(newer.c.device == targets.c.device)
    newest = newest.order_by(newer.c.era.desc(), newer.c.generation.desc()).limit(1)
    found = (
        select(
            *_TARGET, devices.c.name, presence.c.online, presence.c.last_seen_ms, presence.c.accepted_era,
            presence.c.accepted_generation, presence.c.accepted_digest, status.c.body,
            newest.with_only_columns(newer.c.era).scalar_subquery(),
            newest.with_only_columns(newer.c.generation).scalar_subquery(),
        )
        .join(devices, devices.c.device == targets.c.device)
        .outerjoin(presence, presence.c.device == targets.c.device)
        .outerjoin(status, status.c.device == targets.c.device)
        .where(targets.c.deployment == deployment, devices.c.deleted_ms.is_(None))
        .order_by(targets.c.device)
    )  # fmt: skip
    return [_reached(row) for row in tx.execute(found)]


def _reached(row: Sequence[Any]) -> Reached:
    name, online, seen_ms, era, generation, digest, body, newest_era, newest_generation = row[4:]
    return Reached(
        target=Target(*row[:4]),
        name=name,
        online=bool(online),
        last_seen_ms=seen_ms,
        accepted=None if digest is None else Generation(era=era, generation=generation, digest=digest),
        status=None if body is None else Status.model_validate_json(body),
        newest=None if newest_era is None else (newest_era, newest_generation),
    )


def _found(tx: Connection, org: str, *conditions: ColumnElement[bool]) -> Sequence[Deployment]:
    found = select(*_COLUMNS).where(deployments.c.org == org, *conditions)
    rows = tx.execute(found.order_by(deployments.c.created_ms.desc(), deployments.c.deployment).limit(500))
    return [_deployment(row) for row in rows]


def _deployment(row: Sequence[Any]) -> Deployment:
    values = [*row[:6], json.loads(row[6]), *row[7:]]
    return Deployment(*values)
