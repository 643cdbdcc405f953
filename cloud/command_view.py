"""A command as operators see it: one shape for the API and the live feed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cloud.store import apps, devices, instances
from cloud.store.commands import Command
from cloud.store.database import Connection


def views(tx: Connection, org: str, found: Sequence[Command]) -> list[dict[str, Any]]:
    """Return the views of commands of an organisation."""
    if not found:
        return []
    app_names, by_instance = apps.names(tx, org), instances.apps_by_instance(tx, org)
    device_names = devices.names(tx, org)

    def view(one: Command) -> dict[str, Any]:
        app = by_instance.get(one.args.get("instance", ""))
        return {
            "command": one.command,
            "request": one.request,
            "device": one.device,
            "name": device_names.get(one.device, one.device),
            "verb": one.verb,
            "app": None if app is None else app_names[app],
            "service": one.args.get("service"),
            "state": one.state,
            "reason": one.reason,
            "message": one.message,
            "by": one.by,
            "created_ms": one.created_ms,
            "until_ms": one.until_ms,
            "sent_ms": one.sent_ms,
            "tries": one.tries,
            "finished_ms": one.finished_ms,
        }

    return [view(one) for one in found]
