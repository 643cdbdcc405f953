"""What a deployment would do, device by device, before it is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter

from broker.appspec import AppSpec
from broker.errors import Refused
from broker.messages import Status
from cloud.api.apps import app_named, release_named
from cloud.api.auth import Deployer
from cloud.api.context import Ctx
from cloud.api.deployments import NewDeployment
from cloud.api.fleets import fleet_named
from cloud.deploy_plan import Known, Layers, planned
from cloud.store import devices, instances, patches, presence, releases, status
from cloud.store.database import Connection
from cloud.store.devices import Device

router = APIRouter(tags=["deployments"])

DEVICES_MAX = 1000


@router.post("/v1/deployments/plan")
def plan(body: NewDeployment, who: Deployer, context: Ctx) -> dict[str, Any]:
    """Say what deploying this would do to each device of the fleet, by what they last reported. Changes nothing."""
    with context.database.read() as tx:
        app = app_named(tx, who.org, body.app)
        release = release_named(tx, app, body.release)
        fleet = fleet_named(tx, who.org, body.fleet)
        there = devices.of_fleet(tx, who.org, fleet.fleet)
        if len(there) > DEVICES_MAX:
            raise Refused("too_many_devices", f"fleet {fleet.name} has {len(there)} devices; {DEVICES_MAX} are planned")
        instance = instances.find(tx, app.app, fleet.fleet)
        known = _Specs(tx, instances.apps_by_instance(tx, who.org))
        made = {(one.image, one.base): one.bytes for one in patches.of_app(tx, app.app) if one.artifact}
        found = [(device, known.of(device, app.app)) for device in there]
        online = {device.device: presence.get(tx, device.device).online for device in there}
    spec = AppSpec.model_validate_json(release.spec)
    layers = _layers(context, [spec, *known.specs])
    other = instance is not None and dict(instance.variables) != dict(body.variables)
    return {
        "app": app.name,
        "release": release.digest,
        "fleet": fleet.name,
        "devices": [
            {"device": device.device, "name": device.name, "online": online[device.device]}
            | planned(spec, one, layers_of=layers, patches=made, other_variables=other)
            for device, one in found
        ],
    }


class _Specs:
    """What devices have said to run, as AppSpecs; each release is read once."""

    def __init__(self, tx: Connection, app_of: Mapping[str, str]) -> None:
        self._tx = tx
        self._app_of = app_of
        self._known: dict[tuple[str, str], AppSpec | None] = {}

    @property
    def specs(self) -> list[AppSpec]:
        return [spec for spec in self._known.values() if spec is not None]

    def of(self, device: Device, app: str) -> Known:
        reported = status.get(self._tx, device.device)
        if reported is None:
            return Known(None, frozenset(), None, None)
        running: AppSpec | None = None
        held: set[str] = set()
        for one in reported.status.instances:
            if one.state not in ("converged", "degraded"):
                continue
            spec = self._spec(self._app_of.get(one.instance, ""), one.release)
            if spec is not None:
                held |= {service.image.digest for service in spec.services.values()}
                running = spec if self._app_of.get(one.instance) == app else running
        return Known(running, frozenset(held), _rate(reported.status), reported.status.disk_free_bytes)

    def _spec(self, app: str, digest: str) -> AppSpec | None:
        if (app, digest) not in self._known:
            release = releases.get(self._tx, app, digest)
            self._known[app, digest] = None if release is None else AppSpec.model_validate_json(release.spec)
        return self._known[app, digest]


def _rate(reported: Status) -> int | None:
    rate = reported.link.get("rate_bytes_s")
    return rate if isinstance(rate, int) and rate > 0 else None


def _layers(context: Ctx, specs: list[AppSpec]) -> Mapping[str, Layers]:
    images = {service.image.digest: service.image for spec in specs for service in spec.services.values()}
    now_s = context.now_ms // 1000
    return {digest: context.release_images.layers(image, now_s=now_s) for digest, image in images.items()}
