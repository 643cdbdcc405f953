"""Devices as text: rows for lists, lines for one. Pure; what devices say about themselves is shown printable only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from cloud.cli.answers import Condition, Device, Instance, Service
from cloud.cli.durations import ago
from cloud.cli.render import moment, printable, short, table


def link(device: Device, now_ms: int) -> str:
    """Return whether a device can be reached, or when it last could."""
    if device.retire:
        return f"retiring ({device.retire})"
    if device.contested:
        return "contested"
    return "online" if device.online else f"seen {ago(device.last_seen_ms, now_ms)}" if device.last_seen_ms else "never"


def generations(device: Device) -> str:
    """Return what the device has accepted of what it should run: one number when they agree."""
    if device.desired is None:
        return "-" if device.accepted is None else f"{device.accepted}"
    if device.accepted is None:
        return f"none of {device.desired}"
    if (device.accepted.era, device.accepted.generation) == (device.desired.era, device.desired.generation):
        return f"{device.desired}"
    return f"{device.accepted} of {device.desired}"


def app_states(device: Device) -> str:
    """Return `app state` of each instance; what failed says why."""
    return ", ".join(_app_state(instance) for instance in device.status.instances) if device.status else ""


def _app_state(instance: Instance) -> str:
    why = f" ({instance.message})" if instance.message and instance.state in ("failed", "degraded") else ""
    return f"{instance.name} {instance.state}{why}"


def device_rows(devices: Sequence[Device]) -> list[tuple[object, ...]]:
    return [
        (d.name, d.fleet, "yes" if d.online else "no", d.worker, (d.host or {}).get("arch"), d.device) for d in devices
    ]


def status_lines(devices: Sequence[Device], now_ms: int) -> list[str]:
    """Return the table of `skerry status`."""
    rows = [(d.name, d.fleet, link(d, now_ms), generations(d), app_states(d)) for d in devices]
    return table(("DEVICE", "FLEET", "LINK", "GENERATION", "APPS"), rows)


def device_lines(device: Device, now_ms: int) -> Iterator[str]:
    """Yield everything that is known about one device."""
    host = device.host or {}
    machine = (
        f"{host.get('os', '')} {host.get('arch', '')}",
        f"{host.get('engine', '')} {host.get('engine_version', '')}",
        f"{host.get('kernel', '')}",
    )
    facts = [
        ("device", f"{device.name} ({device.device})"),
        ("fleet", device.fleet),
        ("link", link(device, now_ms)),
        ("last seen", f"{moment(device.last_seen_ms)} ({ago(device.last_seen_ms, now_ms)})"),
        ("enrolled", moment(device.enrolled_ms)),
        ("worker", device.worker or "-"),
        ("machine", ", ".join(part.strip() for part in machine if part.strip()) or "-"),
        ("generation", generations(device)),
        ("reported", ago(device.status_at_ms, now_ms)),
    ]
    yield from (f"{name:12}{printable(value)}" for name, value in facts)
    yield from _policy_lines(device)
    yield from _status_lines(device, now_ms)
    if device.streams:
        yield ""
        yield from table(
            ("STREAM", "EPOCH", "STORED", "WHOLE UP TO", "GAPS"),
            [(s.stream, s.epoch, s.stored, s.contiguous, s.gaps) for s in device.streams],
        )


def _policy_lines(device: Device) -> Iterator[str]:
    """Yield what the device's owner has set in its policy; the rest is as docs/operations.md has it."""
    if device.policy is None:
        return
    if not device.policy:
        yield f"{'policy':12}the defaults hold"
    for row, value in device.policy.items():
        widened = value if row == "widen" and isinstance(value, Mapping) else {row: value}
        prefix = "widen." if row == "widen" else ""
        for name, allowed in widened.items():
            entries = ", ".join(map(str, allowed)) if isinstance(allowed, list) else str(allowed).lower()
            yield printable(f"{'policy':12}{prefix}{name}: {entries or 'none'}")


def _status_lines(device: Device, now_ms: int) -> Iterator[str]:
    if device.status is None:
        return
    for condition in device.status.conditions:
        yield printable(
            f"{'condition':12}{condition.type} {'yes' if condition.status else 'no'} {told(condition)}".rstrip()
        )
    rows: list[tuple[object, ...]] = []
    for instance in device.status.instances:
        rows.append((instance.name, "", instance.state, short(instance.release), instance.message))
        for condition in instance.conditions:
            if condition.status:
                rows.append(("", "", condition.type, "", told(condition)))
        for service in instance.services:
            rows.append(("", service.label, service_state(service, now_ms), "", service.reason))
    if rows:
        yield ""
        yield from table(("APP", "SERVICE", "STATE", "RELEASE", "MESSAGE"), rows)


def service_state(service: Service, now_ms: int) -> str:
    """Return all that is known of how a container is."""
    health = "" if service.health == "none" else f", {service.health}"
    code = "" if service.exit_code is None else f", exit code {service.exit_code}"
    times = "once" if service.restarts == 1 else f"{service.restarts} times"
    restarts = f", restarted {times}" if service.restarts else ""
    since = f", since {ago(service.started_at_ms, now_ms)}" if service.started_at_ms else ""
    return f"{service.state}{health}{code}{restarts}{since}".replace(" ago", "")


def told(condition: Condition) -> str:
    """Return reason and sentence of a condition."""
    return ": ".join(part for part in (condition.reason, condition.message) if part)
