"""What happened between two reported states, as events: a few fields of text each. Pure.

`event` says the kind: `accepted`, `condition`, `app`, `service`; the other fields say which, and how it is now.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from broker.messages import Condition, InstanceStatus, ServiceStatus
from device.reporter import Content

Event = dict[str, str]
CHARS_MAX = 500  # of a message: the whole one is in the status


def between(old: Content, new: Content) -> list[Event]:
    """Return what happened, in a fixed order; what is the same in both is no event."""
    events: list[Event] = []
    if new.accepted is not None and new.accepted != old.accepted:
        events.append({"event": "accepted", "generation": f"{new.accepted.era}.{new.accepted.generation}"})
    events += _conditions(old.conditions, new.conditions, {})
    before, now = _by_instance(old.instances), _by_instance(new.instances)
    for instance, is_now in now.items():
        was = before.get(instance)
        app = {"app": is_now.name, "instance": instance}
        if was is None or (was.release, was.state) != (is_now.release, is_now.state):
            release = {"release": is_now.release, "state": is_now.state}
            events.append({"event": "app", **app, **release, **_message(is_now.message)})
        events += _conditions(_by_type(was), _by_type(is_now), app)
        events += _services(() if was is None else was.services, is_now.services, app)
    for instance, was in before.items():
        if instance not in now:
            events.append({"event": "app", "app": was.name, "instance": instance, "state": "gone"})
    return events


def _conditions(old: Mapping[str, Condition], new: Mapping[str, Condition], of: Event) -> Iterator[Event]:
    for kind, is_now in new.items():
        was = old.get(kind)
        if was is None and not is_now.reason:
            continue  # all is well, as it was before anything was said
        if was is None or (was.status, was.reason) != (is_now.status, is_now.reason):
            stands = {"type": kind, "status": "true" if is_now.status else "false", "reason": is_now.reason}
            yield {"event": "condition", **of, **stands, **_message(is_now.message)}


def _services(old: Iterable[ServiceStatus], new: Iterable[ServiceStatus], of: Event) -> Iterator[Event]:
    before = {(service.name, service.index): service for service in old}
    for is_now in new:
        was = before.get((is_now.name, is_now.index))
        if was is not None and _stands(was) == _stands(is_now):
            continue
        fields = {"service": is_now.name, "state": is_now.state, "health": is_now.health}
        if is_now.index != 1:
            fields["index"] = str(is_now.index)
        if is_now.restarts:
            fields["restarts"] = str(is_now.restarts)
        if is_now.exit_code is not None and is_now.state != "running":
            fields["exit_code"] = str(is_now.exit_code)
        if is_now.container:
            fields["container"] = is_now.container[:12]
        yield {"event": "service", **of, **fields, **_message(is_now.reason)}


def _stands(service: ServiceStatus) -> tuple[object, ...]:
    return (service.state, service.health, service.container, service.restarts, service.exit_code)


def _by_instance(instances: Iterable[InstanceStatus]) -> dict[str, InstanceStatus]:
    return {instance.instance: instance for instance in instances}


def _by_type(instance: InstanceStatus | None) -> dict[str, Condition]:
    return {} if instance is None else {condition.type: condition for condition in instance.conditions}


def _message(text: str) -> Event:
    return {"message": text[:CHARS_MAX]} if text else {}
