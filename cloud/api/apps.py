"""Apps and their releases."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import BaseModel, StringConstraints

from broker.appspec import AppSpec
from broker.canonical import canonical
from broker.errors import Refused
from broker.ids import Name, new_id
from cloud import deploying
from cloud.api.auth import Deployer, Pusher, Reader
from cloud.api.context import Ctx
from cloud.store import apps, audit, fleets, instances, releases
from cloud.store.apps import App
from cloud.store.database import Connection
from cloud.store.releases import Release

router = APIRouter(tags=["apps"])

Version = Annotated[str, StringConstraints(max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$")]


class NewApp(BaseModel):
    name: Name


class NewRelease(BaseModel):
    spec: AppSpec
    version: Version | None = None


@router.post("/v1/apps")
def create(body: NewApp, who: Pusher, context: Ctx, response: Response) -> dict[str, str]:
    now_ms = context.now_ms
    with context.database.write() as tx:
        app = apps.named(tx, who.org, body.name)
        if app is None:
            app = App(new_id("a"), who.org, body.name)
            apps.add(tx, app, now_ms=now_ms)
            audit.add(tx, org=who.org, by=who.user_name, action="app.create", subject=app.app, now_ms=now_ms)
            response.status_code = 201
    return {"app": app.app, "name": app.name, "namespace": app.namespace}


@router.get("/v1/apps")
def all_apps(who: Reader, context: Ctx) -> dict[str, Any]:
    with context.database.read() as tx:
        found = [(app, releases.of_app(tx, app.app)) for app in apps.of_org(tx, who.org)]
    return {
        "apps": [
            {"app": app.app, "name": app.name, "releases": len(pushed), "latest": pushed[0].digest if pushed else None}
            for app, pushed in found
        ]
    }


@router.get("/v1/apps/{name}")
def one_app(name: str, who: Reader, context: Ctx) -> dict[str, Any]:
    with context.database.read() as tx:
        app = app_named(tx, who.org, name)
        fleet_names = {fleet.fleet: (fleet.name, members) for fleet, members in fleets.counted(tx, who.org)}
        running = instances.of_app(tx, app.app)
        pushed = releases.of_app(tx, app.app)
    return {
        "app": app.app,
        "name": app.name,
        "namespace": app.namespace,
        "releases": [_release(release) for release in pushed],
        "instances": [
            {
                "instance": instance.instance,
                "fleet": fleet_names[instance.fleet][0],
                "release": instance.release,
                "devices": fleet_names[instance.fleet][1],
            }
            for instance in running
        ],
    }


@router.delete("/v1/apps/{name}", status_code=204)
def delete(name: str, who: Deployer, context: Ctx, force: bool = False) -> Response:
    """Delete an app. While it is deployed this is refused, or, with `force`, its removal is deployed as well."""
    now_ms = context.now_ms
    with context.database.write() as tx:
        app = app_named(tx, who.org, name)
        running = instances.of_app(tx, app.app)
        if running and not force:
            raise Refused("app_deployed", f"{name} is deployed to {len(running)} fleets")
        for instance in running:
            instances.delete(tx, instance.instance, now_ms=now_ms)
            deploying.reissue(tx, instance.fleet)
            deploying.issue_page(tx, context.issuer, now_ms=now_ms, fleet=instance.fleet)
        apps.delete(tx, app.app, now_ms=now_ms)
        audit.add(tx, org=who.org, by=who.user_name, action="app.delete", subject=app.app, now_ms=now_ms)
    context.notices.issued()
    context.notices.due()
    context.notices.pushed(app.app)
    return Response(status_code=204)


@router.post("/v1/apps/{name}/releases", status_code=201)
def push_release(name: str, body: NewRelease, who: Pusher, context: Ctx) -> dict[str, Any]:
    """Store an AppSpec as a release, if every image it names is in the app's part of the registry and whole."""
    with context.database.read() as tx:
        app = app_named(tx, who.org, name)
    _check_namespace(app, body.spec)
    spec = context.release_images.completed(body.spec, now_s=context.now_ms // 1000)
    digest, now_ms = spec.digest, context.now_ms
    release = Release(
        app=app.app,
        digest=digest,
        version=body.version or "",
        spec=canonical(spec.plain()),
        created_ms=now_ms,
        pushed_ms=now_ms,
        by=who.user_name,
    )
    with context.database.write() as tx:
        app_named(tx, who.org, name)
        created = releases.push(tx, release)
        stored = releases.get(tx, app.app, digest)
        assert stored is not None
        audit.add(tx, org=who.org, by=who.user_name, action="release.push", subject=digest, now_ms=now_ms)
    context.notices.pushed(app.app)
    return {"release": digest, "version": stored.version, "created": created}


@router.get("/v1/apps/{name}/releases/{release}")
def one_release(name: str, release: str, who: Reader, context: Ctx) -> dict[str, Any]:
    with context.database.read() as tx:
        found = release_named(tx, app_named(tx, who.org, name), release)
    spec = AppSpec.model_validate_json(found.spec)
    return _release(found) | {"spec": spec.plain()}


def app_named(tx: Connection, org: str, name: str) -> App:
    """Return the app; raise `Refused` (`not_found`)."""
    app = apps.named(tx, org, name)
    if app is None:
        raise Refused("not_found", f"there is no app {name[:80]!r}")
    return app


def release_named(tx: Connection, app: App, name: str) -> Release:
    """Return a release by digest, version or `latest`; raise `Refused` (`not_found`)."""
    release = releases.find(tx, app.app, name)
    if release is None:
        raise Refused("not_found", f"app {app.name} has no release {name[:100]!r}")
    return release


def _release(release: Release) -> dict[str, Any]:
    return {
        "release": release.digest,
        "version": release.version,
        "created_ms": release.created_ms,
        "by": release.by,
    }


def _check_namespace(app: App, spec: AppSpec) -> None:
    for name, service in sorted(spec.services.items()):
        if not service.image.repository.startswith(app.namespace + "/"):
            where = f"services.{name}.image: {service.image.repository}"
            raise Refused("missing_image", f"{where} is not inside the app's namespace {app.namespace}/")
