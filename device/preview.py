"""What the worker would do now, worked out beside it from the same files and the same engine; nothing is changed.

What only the worker's memory holds is not known here: for how long it has watched a container is taken from the
engine's clock, and update locks, whose time the worker measures, are not looked at.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from broker.clock import Clock
from broker.messages import AppSection, DesiredState
from device.checked_file import CheckedFile
from device.config import Identity, Owner, Paths
from device.engine.port import BindOrVolume, Engine
from device.images.loopback import Loopback
from device.platform import app_redis, locks
from device.reconcile.attempts import Attempt
from device.reconcile.choose import Objections, aim
from device.reconcile.decide import Case, decide
from device.reconcile.facts import Snapshot
from device.reconcile.journal import Journal
from device.reconcile.look import Looks
from device.reconcile.plan import removal
from device.reconcile.status import Told, instance_status
from device.reconcile.wanted import Asked, Fitting, Place, asked, wanted
from device.telemetry.accounts import known_access


@dataclass(frozen=True)
class AppPlan:
    """What would be done for one app: `fetch` are images that are not here, `plan` the steps and waits as text."""

    name: str
    state: str
    message: str
    fetch: tuple[str, ...]
    plan: tuple[str, ...]


def preview(
    desired: DesiredState, *, paths: Paths, owner: Owner, identity: Identity, engine: Engine, clock: Clock
) -> list[AppPlan]:
    """Return the plan of each app that is wanted or there. Raises what the engine raises."""
    journal = Journal(CheckedFile(paths.ledger / "journal"))
    journal.load()
    looks = Looks(engine, clock)
    snapshot = _as_told(looks.look(closely=lambda container: False)[0], clock)
    found = []
    for section in desired.apps:
        of = aim(section, journal.of(section.instance), _objections(section, owner, identity))
        place = _place(of.sections, paths=paths, owner=owner, identity=identity)
        case = Case(
            aim=of,
            entry=journal.of(section.instance),
            snapshot=snapshot,
            wanted={each.digest or "": wanted(each, place) for each in of.sections},
            attempt_at=lambda each: Attempt(each.digest or "", snapshot.now),
            is_absent=functools.cache(lambda image: not engine.has_image(image)),
            check_of=looks.image_check,
        )
        made = decide(case)
        told = Told(of, made.choice, made.verdict, made.plan, fetching=made.lacking)
        status = instance_status(told)
        found.append(AppPlan(section.name, status.state, status.message, made.lacking, status.plan))
    return found + _leaving(desired, journal, snapshot)


def _objections(section: AppSection, owner: Owner, identity: Identity) -> Objections:
    return lambda spec: owner.policy.objections(spec, section.grants, registry=identity.registry)


def _leaving(desired: DesiredState, journal: Journal, snapshot: Snapshot) -> list[AppPlan]:
    """Return the plans of apps that are there and not wanted."""
    wanted_ones = {section.instance for section in desired.apps}
    observed = snapshot.observed
    there = {c.instance for c in observed.containers} | {n.instance for n in observed.networks}
    found = []
    for instance in sorted(there - wanted_ones):
        section = journal.of(instance).current
        app = None if section is None else wanted(section, Place(device="", registry="", intake={}))
        lines = tuple(removal(instance, observed, app).lines())
        found.append(AppPlan(instance if section is None else section.name, "removing", "", (), lines))
    return found


def _as_told(snapshot: Snapshot, clock: Clock) -> Snapshot:
    """Return a snapshot in which containers have run for as long as the engine says."""
    running = {c.id for c in snapshot.observed.containers if c.state == "running"}
    now_ms = clock.wall_ms()
    runs = {
        key: replace(run, steady_s=max(0, now_ms - run.started_at_ms) / 1000)
        if key in running and run.started_at_ms is not None
        else run
        for key, run in snapshot.runs.items()
    }
    return replace(snapshot, runs=runs)


def _place(sections: Sequence[AppSection], *, paths: Paths, owner: Owner, identity: Identity) -> Place:
    """Return where the worker puts apps, as far as its files say. The display is not asked for."""
    using = [s for s in sections if any(x.telemetry.access != "none" for x in s.spec.services.values())]
    intake = known_access(paths.telemetry / "accounts.json", using, paths.intake_folder)
    fittings: dict[tuple[str, Asked], Fitting] = {}
    for section in sections:
        wishes = {what for service in section.spec.services.values() for what in asked(service)}
        instance = section.instance
        if "lock" in wishes:
            folder = BindOrVolume("bind", locks.INSIDE, source=str(paths.locks / instance))
            fittings[instance, "lock"] = Fitting(locks.environment(instance, with_key=instance in intake), (folder,))
        if "redis" in wishes:
            redis = app_redis.AppRedis(paths.app_redis, megabytes=owner.platform.redis_megabytes)
            folder = BindOrVolume("bind", app_redis.INSIDE, source=str(redis.folder(instance)), read_only=True)
            fittings[instance, "redis"] = Fitting(redis.environment(), (folder,))
    return Place(
        device=identity.device,
        registry=identity.registry,
        intake=intake,
        policy=owner.policy,
        ours=(str(paths.state),),
        fittings=fittings,
        images=_images_address(paths, owner),
    )


def _images_address(paths: Paths, owner: Owner) -> str:
    try:
        port = owner.images.port or int((paths.images / "port").read_text())
    except (FileNotFoundError, ValueError):
        return ""
    return Loopback(port).address
