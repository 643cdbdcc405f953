"""Small apps and the containers an engine would show of them, for tests of decisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from device.engine import labels
from device.engine.port import Container, Health, NetworkSeen, Observed, State
from device.reconcile.wanted import Wanted, wanted
from tests.harness.apps import DIGEST, OTHER_DIGEST, PLACE, section, service

I1, I2 = "iaaaaaaaaaaa", "ibbbbbbbbbbb"
WEB_IMAGE = f"127.0.0.1:5000/oaaaaaaaaaaa/aaaaaaaaaaaa/web@{DIGEST}"
NEW_IMAGE = f"127.0.0.1:5000/oaaaaaaaaaaa/aaaaaaaaaaaa/web@{OTHER_DIGEST}"
CHECK = {"test": ["CMD", "true"]}


def app(services: Mapping[str, Any] | None = None, **keys: Any) -> Wanted:
    """Return an app as the engine shall hold it; a service `web` where none are given."""
    return wanted(section(services or {"web": service()}, **keys), PLACE)


def shown(
    of: Wanted,
    name: str = "web",
    *,
    key: str = "",
    state: State = "running",
    health: Health = "none",
    exit_code: int | None = None,
) -> Container:
    """Return the container of a service as the engine lists it, made from what `of` wants."""
    want = of.containers[name]
    return Container(
        id=key or f"{name}-1",
        name=want.name,
        instance=want.instance,
        service=want.service,
        index=want.index,
        hash=want.hash,
        state=state,
        health=health,
        exit_code=exit_code,
        image=want.image,
        release=want.release,
        restart=want.labels[labels.RESTART],
    )


def world(of: Wanted, *containers: Container, networks: bool = True, volumes: bool = True) -> Observed:
    """Return a snapshot with these containers and, unless told otherwise, all networks and volumes of the app."""
    return Observed(
        containers=containers,
        networks=tuple(NetworkSeen(f"n-{n.resource}", n.name, n.instance, n.hash) for n in of.networks)
        if networks
        else (),
        volumes=frozenset(v.name for v in of.volumes) if volumes else frozenset(),
    )


def together(*worlds: Observed) -> Observed:
    """Return one snapshot of several."""
    return Observed(
        containers=tuple(c for w in worlds for c in w.containers),
        networks=tuple(n for w in worlds for n in w.networks),
        volumes=frozenset(v for w in worlds for v in w.volumes),
    )


def became(container: Container, **changes: Any) -> Container:
    return replace(container, **changes)
