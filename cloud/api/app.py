"""The application: all routers, one error shape, no documentation pages that would load scripts from elsewhere."""

from __future__ import annotations

from fastapi import FastAPI

from cloud.api import (
    apps,
    body_limit,
    bundles,
    changes,
    commands,
    deployments,
    device_proof,
    devices,
    enrollment,
    errors,
    events,
    fleets,
    health,
    links,
    logins,
    logs,
    orgs,
    plans,
    registry_tokens,
    secrets,
    telemetry,
    tokens,
)
from cloud.api.context import Context

BODY_BYTES_MAX = 2 * 1024 * 1024  # an AppSpec as JSON; what devices send travels over MQTT
ROUTERS = (
    health, logins, orgs, fleets, enrollment, device_proof, devices, apps, deployments, commands, events, telemetry,
    logs, registry_tokens, links, bundles, plans, secrets, tokens,
    changes,
)  # fmt: skip


def create_app(context: Context) -> FastAPI:
    """Return the application over `context`."""
    app = FastAPI(title="Skerry", version=context.version, docs_url=None, redoc_url=None, openapi_url="/openapi.json")
    app.state.context = context
    for module in ROUTERS:
        app.include_router(module.router)
    errors.install(app)
    app.add_middleware(body_limit.BodyLimit, bytes_max=BODY_BYTES_MAX)
    return app
