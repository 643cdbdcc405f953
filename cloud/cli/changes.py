"""What an operator reads of the event stream: one line for what is new, none for what was known already. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from cloud.cli.answers import Device, Instance
from cloud.cli.device_text import app_states, generations, told
from cloud.cli.event_stream import Event
from cloud.cli.render import printable, short


class Follower:
    """Knows what was last seen of each device. `only` is a device's name or id, or empty for all."""

    def __init__(self, only: str = "") -> None:
        self._only = only
        self._devices: dict[str, Device] = {}
        self._seen: dict[str, int] = {}

    def take(self, event: Event) -> list[tuple[str, str]]:
        """Return (device, what changed) for each thing that is new in an event of devices one wants to see."""
        document = event.document()
        match event.type:
            case "device":
                found = self._device(document, event.id)
            case "deployment":
                found = self._deployment(document)
            case "telemetry":
                found = [(self._name(document), _telemetry(document))]
            case "command":
                found = [(self._name(document), _command(document))]
            case "progress":
                found = [(self._name(document), _progress(document))]
            case _:
                found = []
        return [(name, printable(text)) for name, text in found if text and self._wanted(name)]

    def wants(self, event: Event) -> bool:
        """Return whether an event is about a device one wants to see."""
        if not self._only:
            return True
        document = event.document()
        if event.type == "device":
            self._device(document, event.id)
        if event.type == "deployment":
            return any(self._wanted(self._name(part)) for part in _parts(document))
        return self._wanted(self._name(document))

    def _wanted(self, name: str) -> bool:
        return not self._only or name == self._only or self._id_of(name) == self._only

    def _id_of(self, name: str) -> str:
        return next((known.device for known in self._devices.values() if known.name == name), name)

    def _name(self, document: Mapping[str, Any]) -> str:
        device = str(document.get("device", ""))
        known = self._devices.get(device)
        return known.name if known else str(document.get("name") or device)

    def _device(self, document: Mapping[str, Any], event_id: str) -> list[tuple[str, str]]:
        try:
            device = Device.model_validate(document)
        except ValidationError:
            return []
        if self._is_stale(device.device, event_id):
            return []
        before = self._devices.get(device.device)
        self._devices[device.device] = device
        label = device.name or device.device
        return [(label, text) for text in (first_seen(device) if before is None else changes(before, device))]

    def _is_stale(self, device: str, event_id: str) -> bool:
        # After a reconnect the snapshot comes first, and then the missed events, which are older than it.
        number = int(event_id) if event_id.isascii() and event_id.isdigit() else 0
        if number and number < self._seen.get(device, 0):
            return True
        self._seen[device] = number
        return False

    def _deployment(self, document: Mapping[str, Any]) -> list[tuple[str, str]]:
        what = f"{document.get('app', '')} {short(str(document.get('release') or ''))}".strip()
        lines = []
        if not isinstance(document.get("devices"), list) and not document.get("device"):
            return [(f"fleet {document.get('fleet', '')}", f"deployment of {what}")]
        for part in _parts(document):
            state = f" {part['state']}" if part.get("state") else ""
            message = f": {part['message']}" if part.get("message") else ""
            to = f" as generation {part['generation']}" if part.get("generation") and not state else ""
            lines.append((self._name(part), f"deployment of {what}{state}{message}{to}"))
        return lines


def first_seen(device: Device) -> Iterator[str]:
    """Yield one line on a device that nothing was known of."""
    parts = ["online" if device.online else "offline", f"generation {generations(device)}", app_states(device)]
    yield ", ".join(part for part in parts if part)


def changes(before: Device, after: Device) -> Iterator[str]:
    """Yield a line for each thing about a device that an operator would want to hear."""
    if before.online != after.online:
        yield "online" if after.online else "offline"
    if before.contested != after.contested:
        yield "contested: two machines have this identity" if after.contested else "no longer contested"
    if _order(before.desired) != _order(after.desired):
        yield f"desired generation {after.desired}"
    if _order(before.accepted) != _order(after.accepted):
        yield f"accepted generation {after.accepted}"
    yield from _app_changes(before, after)
    yield from _condition_changes(before, after)


def _order(generation: Any) -> tuple[int, int] | None:
    return None if generation is None else (generation.era, generation.generation)


def _app_changes(before: Device, after: Device) -> Iterator[str]:
    known = {one.instance: one for one in before.status.instances} if before.status else {}
    now = {one.instance: one for one in after.status.instances} if after.status else {}
    for key, instance in now.items():
        earlier = known.get(key)
        if earlier is None or _shown(earlier) != _shown(instance):
            message = f": {instance.message}" if instance.message else ""
            yield f"{instance.name} {instance.state} {short(instance.release)}{message}"
        if earlier is not None:
            yield from _phases(instance, earlier)
        if earlier is not None and _shown(earlier) == _shown(instance):
            yield from _service_changes(instance, earlier)
    for key, gone in known.items():
        if key not in now and after.status is not None:
            yield f"{gone.name} is gone"


def _shown(instance: Instance) -> tuple[str, str, str]:
    return instance.state, instance.release, instance.message


def _phases(instance: Instance, earlier: Instance) -> Iterator[str]:
    known = {(one.type, one.message) for one in earlier.conditions if one.status}
    for condition in instance.conditions:
        # That all is well is told by the app's state already.
        if condition.status and condition.type != "Healthy" and (condition.type, condition.message) not in known:
            yield f"{instance.name} {condition.type} {told(condition)}".rstrip()


def _service_changes(instance: Instance, earlier: Instance) -> Iterator[str]:
    known = {service.label: service for service in earlier.services}
    for service in instance.services:
        was = known.get(service.label)
        if was is None:
            continue
        if (was.state, was.health) != (service.state, service.health):
            health = "" if service.health == "none" else f", {service.health}"
            yield f"{instance.name}/{service.label} {service.state}{health}"
        if service.restarts > was.restarts:
            yield f"{instance.name}/{service.label} was restarted by its engine, {service.restarts} times by now"


def _condition_changes(before: Device, after: Device) -> Iterator[str]:
    known = {one.type: one.status for one in before.status.conditions} if before.status else {}
    for condition in after.status.conditions if after.status else ():
        if known.get(condition.type) != condition.status and (condition.type in known or condition.message):
            yield f"{condition.type} {'yes' if condition.status else 'no'} {told(condition)}".rstrip()


def _command(document: Mapping[str, Any]) -> str:
    target = "/".join(str(document[part]) for part in ("app", "service") if document.get(part))
    message = f": {document['message']}" if document.get("message") else ""
    return f"{document.get('verb', 'command')} {target} {document.get('state', '')}{message}".replace("  ", " ")


def _telemetry(document: Mapping[str, Any]) -> str:
    first, last = document.get("first"), document.get("last")
    gaps = document.get("gaps")
    count = len(gaps) if isinstance(gaps, list) else gaps
    lost = f", {count} gap{'' if count == 1 else 's'}" if count else ""
    return f"telemetry {document.get('stream', '')} {first}-{last}{lost}"


def _progress(document: Mapping[str, Any]) -> str:
    total, done = document.get("total"), document.get("done")
    share = f" {100 * done // total}%" if isinstance(total, int) and isinstance(done, int) and total > 0 else ""
    return f"{document.get('phase', 'transfer')}{share}"


def _parts(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    devices = document.get("devices")
    if isinstance(devices, list):
        return [part for part in devices if isinstance(part, dict)]
    return [document]
