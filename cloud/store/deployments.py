"""Deployments: what was asked for, and which generation each device got for it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, insert, select

from cloud.store.rows import Target
from cloud.store.schema import deployments, targets


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


_COLUMNS = tuple(deployments.c[name] for name in Deployment.__dataclass_fields__)


def add(tx: Connection, deployment: Deployment, reached: Iterable[Target]) -> None:
    row = {name: getattr(deployment, name) for name in Deployment.__dataclass_fields__}
    tx.execute(insert(deployments).values(**row | {"variables": json.dumps(dict(deployment.variables))}))
    rows = [{"deployment": deployment.deployment} | vars(target) for target in reached]
    if rows:
        tx.execute(insert(targets), rows)


def get(tx: Connection, org: str, deployment: str) -> Deployment | None:
    return next(iter(_found(tx, org, deployments.c.deployment == deployment)), None)


def of_org(tx: Connection, org: str) -> Sequence[Deployment]:
    """Return the organisation's deployments, the newest first."""
    return _found(tx, org)


def targets_of(tx: Connection, deployment: str) -> Sequence[Target]:
    columns = (targets.c.device, targets.c.era, targets.c.generation, targets.c.section)
    found = select(*columns).where(targets.c.deployment == deployment).order_by(targets.c.device)
    return [Target(*row) for row in tx.execute(found)]


def _found(tx: Connection, org: str, *conditions: ColumnElement[bool]) -> Sequence[Deployment]:
    found = select(*_COLUMNS).where(deployments.c.org == org, *conditions)
    rows = tx.execute(found.order_by(deployments.c.created_ms.desc(), deployments.c.deployment).limit(500))
    return [_deployment(row) for row in rows]


def _deployment(row: Sequence[Any]) -> Deployment:
    values = [*row[:6], json.loads(row[6]), *row[7:]]
    return Deployment(*values)
