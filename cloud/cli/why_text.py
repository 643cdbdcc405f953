"""Why a device, an app or a service is as it is: what should be, what is, and what is in between. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cloud.cli.answers import Command, Condition, Desired, Device, Instance, Line, Service, Wanted
from cloud.cli.command_text import is_open, what
from cloud.cli.device_text import service_state, told
from cloud.cli.durations import ago
from cloud.cli.render import moment, printable, short

PLAN_LINES = 8
# Of what a device says of an app, what explains most comes first; the others only say that all is well.
TELLING = ("Refused", "RolledBack", "Waiting", "Fetching", "Switching", "Degraded")
_WELL = ("running", "exited")


@dataclass(frozen=True)
class Seen:
    """All that the cloud holds about the question. `lines` are the newest of what the services in question wrote."""

    device: Device
    desired: Desired | None
    commands: Sequence[Command]
    lines: Sequence[Line]
    app: str | None = None
    service: str | None = None

    @property
    def instances(self) -> list[Instance]:
        status = self.device.status
        return [one for one in status.instances if self.app in (None, one.name)] if status else []

    def wanted(self, name: str) -> Wanted | None:
        return next((one for one in self.desired.apps if one.name == name), None) if self.desired else None


def because(seen: Seen, now_ms: int) -> str:
    """Return the one sentence that explains most."""
    device, status = seen.device, seen.device.status
    away = "" if device.online else f"; the device is away, last heard {ago(device.last_seen_ms, now_ms)}"
    if device.contested:
        return "two machines have this device's identity: it gets nothing new until one is enrolled anew"
    if not device.last_seen_ms:
        return "the device has never connected"
    if seen.desired is None:
        return f"nothing was ever deployed to it{away}"
    refused = _holding(status.conditions if status else (), "Refused.desired")
    if _behind(seen):
        why = f": it refuses it ({told(refused)})" if refused else ""
        return f"the device has not accepted generation {seen.desired} yet{why}{away}"
    if seen.app is not None and not seen.instances:
        return f"{_absent(seen)}{away}"
    bad = next((one for one in seen.instances if one.state != "converged"), None)
    if bad is not None:
        return f"{_unsettled(bad)}{away}"
    ill = next((one for app in seen.instances for one in _services(seen, app) if not is_well(one)), None)
    if ill is not None:
        return f"service {ill.label} is {service_state(ill, now_ms)}{away}"
    return f"it is as it should be{away}"


def why_lines(seen: Seen, now_ms: int) -> Iterator[str]:
    """Yield one screen."""
    device, status = seen.device, seen.device.status
    yield printable(because(seen, now_ms))
    yield ""
    heard = f"{moment(device.last_seen_ms)}, {ago(device.last_seen_ms, now_ms)}"
    facts = [
        ("device", f"{device.name} ({device.device}), fleet {device.fleet}"),
        ("link", "contested" if device.contested else f"online, last heard {ago(device.last_seen_ms, now_ms)}"
            if device.online else f"away, last heard {heard}"),
        ("desired", _issued(seen.desired, now_ms)),
        ("accepted", f"{device.accepted or '-'}{' (behind)' if _behind(seen) else ''}"),
        ("reported", f"of {status.accepted or '-'}, {ago(device.status_at_ms, now_ms)}" if status else "never"),
    ]  # fmt: skip
    yield from (printable(f"{name:12}{value}") for name, value in facts)
    for condition in status.conditions if status else ():
        if _speaks(condition):
            yield printable(f"{'condition':12}{condition.type} {_yes(condition)} {told(condition)}".rstrip())
    for command in seen.commands:
        if is_open(command):
            yield printable(f"{'command':12}{what(command)} {command.state}, asked {ago(command.created_ms, now_ms)}")
    for instance in seen.instances:
        yield ""
        yield from _app_lines(seen, instance, now_ms)


def _app_lines(seen: Seen, instance: Instance, now_ms: int) -> Iterator[str]:
    message = f": {instance.message}" if instance.message else ""
    yield printable(f"{instance.name:12}{instance.state}{message}")
    wanted = seen.wanted(instance.name)
    if wanted is not None and wanted.release != instance.release:
        yield f"  {'release':10}runs {short(instance.release)}, should run {short(wanted.release)}"
    else:
        yield f"  {'release':10}{short(instance.release)}"
    section = f"{short(instance.section)}"
    if wanted is not None and wanted.section != instance.section:
        section += f", should be {short(wanted.section)}"
    attempt = f", attempt {wanted.attempt}" if wanted is not None and wanted.attempt else ""
    force = ", in spite of its lock" if wanted is not None and wanted.settings.get("force") else ""
    yield f"  {'section':10}{section}{attempt}{force}"
    for condition in instance.conditions:
        if condition.status or condition.message:
            yield printable(f"  {'condition':10}{condition.type} {_yes(condition)} {told(condition)}".rstrip())
    for text in instance.plan[:PLAN_LINES]:
        yield printable(f"  {'plan':10}{text}")
    if len(instance.plan) > PLAN_LINES:
        yield f"  {'plan':10}and {len(instance.plan) - PLAN_LINES} more"
    for service in _services(seen, instance):
        reason = f": {service.reason}" if service.reason else ""
        yield printable(f"  {service.label:10}{service_state(service, now_ms)}{reason}")
        if seen.service == service.name or not is_well(service):
            yield from _log_lines(seen.lines, instance.name, service.name)


def _log_lines(lines: Sequence[Line], app: str, service: str) -> Iterator[str]:
    for line in lines:
        if line.service == service and line.app in (None, app):
            yield printable(f"    | {moment(line.at_ms)}  {line.text.rstrip()}")


def is_well(service: Service) -> bool:
    """Return whether nothing about a container asks for an explanation."""
    return service.state in _WELL and service.health in ("none", "healthy") and not service.exit_code


def _services(seen: Seen, instance: Instance) -> list[Service]:
    return [one for one in instance.services if seen.service in (None, one.name)]


def _behind(seen: Seen) -> bool:
    accepted = seen.device.accepted
    wanted = (seen.desired.era, seen.desired.generation) if seen.desired else (0, 0)
    return accepted is None or (accepted.era, accepted.generation) < wanted


def _absent(seen: Seen) -> str:
    if seen.wanted(seen.app or "") is None:
        return f"{seen.app} is not among what this device should run"
    return f"the device has not said anything of {seen.app} yet"


def _unsettled(instance: Instance) -> str:
    for name in TELLING:
        condition = _holding(instance.conditions, name)
        if condition is not None:
            return f"{instance.name} is {instance.state}, {name}: {told(condition) or instance.message}".rstrip(": ")
    return f"{instance.name} is {instance.state}: {instance.message}".rstrip(": ")


def _holding(conditions: Sequence[Condition], name: str) -> Condition | None:
    return next((one for one in conditions if one.type == name and one.status), None)


def _speaks(condition: Condition) -> bool:
    """Return whether a device's condition says more than that nothing is wrong."""
    return bool(condition.reason or condition.message)


def _yes(condition: Condition) -> str:
    return "yes" if condition.status else "no"


def _issued(desired: Desired | None, now_ms: int) -> str:
    if desired is None:
        return "nothing"
    sent = f"sent {ago(desired.sent_ms, now_ms)}" if desired.sent_ms else "not sent yet"
    return f"{desired}, made {ago(desired.issued_ms, now_ms)}, {sent}"
