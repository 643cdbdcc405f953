"""What is to become of each slot of an app now: which container it keeps, which it ends, whether it may start. Pure.

A slot is a service, or one replica of a service. A move is decided with the moves of what the slot depends on at hand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import Literal

from broker.appspec import Dependency
from device.engine.port import Container, WantedContainer, restart_text
from device.reconcile.facts import UNKNOWN, Run, has_ended, has_failed, is_up, switch_of, works
from device.reconcile.wanted import Wanted

ALIVE = ("running", "restarting")
RESTS = "it crashes again and again, and rests"


@dataclass(frozen=True)
class Around:
    """What a plan respects besides what is wanted and seen."""

    runs: Mapping[str, Run] = field(default_factory=dict)  # by container id
    known: Mapping[str, WantedContainer] = field(default_factory=dict)  # by hash: containers of other releases
    spare: frozenset[str] = frozenset()  # hashes to keep, stopped, until this release has shown that it works
    stopped: frozenset[str] = frozenset()  # services that were stopped by request
    again: Mapping[str, int | None] = field(default_factory=dict)  # by id: to be started anew, and the start before
    hooked: frozenset[str] = frozenset()  # of which containers the post_start hooks have run, as `hook_key` says
    restarts: Mapping[str, str] = field(default_factory=dict)  # by id: restart policies that were set in place
    can_set_restart: bool = True
    absent: frozenset[str] = frozenset()  # images that are not here
    going_back: bool = False  # to the release that worked
    is_rough: bool = False  # a start failed beside what still ran: now everything old makes room first


@dataclass(frozen=True)
class Move:
    """`stops` are to be stopped now. `cause` says why it starts, waits, or is not finished."""

    want: WantedContainer
    keep: Container | None
    olds: tuple[Container, ...]
    kind: Literal["runs", "start", "ended", "wait", "down"]
    cause: str = ""
    stops: tuple[Container, ...] = ()
    stop_cause: str = ""
    is_rest: bool = False


def hook_key(container: Container | WantedContainer) -> str:
    """Return the name under which it is remembered that a container's post_start hooks have run."""
    return f"{container.slot}@{container.hash[7:19]}"


def in_order(app: Wanted) -> Iterator[str]:
    """Yield the services, each after those it depends on, whatever their names."""
    services = app.section.spec.services
    edges = {name: sorted(d for d in service.depends_on if d in services) for name, service in services.items()}
    yield from TopologicalSorter({name: edges[name] for name in sorted(edges)}).static_order()


def moves(app: Wanted, mine: Sequence[Container], around: Around) -> dict[str, Move]:
    """Return the move of each slot, in the order in which slots may start. `mine` are the app's containers."""
    slots = _slots(app, mine, around)
    made: dict[str, Move] = {}
    for service in in_order(app):
        names = [slot for slot, want in app.containers.items() if want.service == service]
        names.sort(key=lambda slot: app.containers[slot].index)
        turns = _turns([slots[name] for name in names], around)
        for name in names:
            made[name] = _decided(slots[name], made, slots, turns, around)
    return made


@dataclass(frozen=True)
class Slot:
    """One place for a container: what shall be there, and what is."""

    want: WantedContainer
    keep: Container | None  # made from what is wanted
    olds: tuple[Container, ...]
    replaced: str = ""  # why what runs of the olds makes room

    @property
    def alive_olds(self) -> tuple[Container, ...]:
        return tuple(old for old in self.olds if old.state in ALIVE)


def _slots(app: Wanted, mine: Sequence[Container], around: Around) -> dict[str, Slot]:
    """Return the slots; what joins another is made anew with it, so those come first."""
    made: dict[str, Slot] = {}
    joins = {name: want.joined for name, want in app.containers.items()}
    for name in TopologicalSorter(joins).static_order():
        want = app.containers[name]
        here = [container for container in mine if container.slot == name]
        joined = [made[other].keep for other in sorted(want.joined)]
        ids = ",".join(container.id if container is not None else "?" for container in joined)
        fitting = [c for c in here if c.hash == want.hash and c.joined == ids and _has_its_restart(c, want, around)]
        fitting = [c for c in fitting if not lost_network(app, c)]
        keep = min(fitting, key=lambda c: (c.state not in ALIVE, c.name != want.name, c.id), default=None)
        olds = tuple(c for c in here if c is not keep)
        alive = [old for old in olds if old.state in ALIVE]
        made[name] = Slot(want, keep, olds, why_replaced(app, alive[0]) if alive else "")
    return made


def lost_network(app: Wanted, container: Container) -> str:
    """Return a network of the app that a running container has been taken off, or an empty string."""
    want = app.containers.get(container.slot)
    if want is None or want.hash != container.hash or container.networks is None or container.state != "running":
        return ""  # the engine joins them again when it starts, or tells that it cannot
    lost = [n.resource for n in app.networks if n.name in want.networks and n.name not in container.networks]
    return min(lost, default="")


def why_replaced(app: Wanted, old: Container) -> str:
    """Return why another container takes the place of this one."""
    want = app.containers[old.slot]
    if old.hash != want.hash:
        return f"made from {old.hash[7:19]}, wanted {want.hash[7:19]}"
    lost = lost_network(app, old)
    return f"it was taken off network {lost}" if lost else "a second container of its service"


def restart_differs(container: Container, want: WantedContainer, around: Around) -> bool:
    """Return whether a container was given another restart policy than it should have."""
    given = around.restarts.get(container.id, container.restart)
    return given not in ("", restart_text(want.spec.restart))


def _has_its_restart(container: Container, want: WantedContainer, around: Around) -> bool:
    return around.can_set_restart or not restart_differs(container, want, around)


def _turns(slots: Sequence[Slot], around: Around) -> frozenset[str]:
    """Return the slots of one service that may be replaced now: so many at a time, each lot after a pause."""
    replaced = [slot for slot in slots if slot.alive_olds and (slot.keep is None or slot.keep.state not in ALIVE)]
    everyone = frozenset(slot.want.slot for slot in slots)
    if len(slots) == 1 or not replaced or around.is_rough:
        return everyone
    switch = switch_of(slots[0].want.spec, going_back=around.going_back)
    done = [(slot.keep, slot.want.spec) for slot in slots if slot.keep is not None and slot.keep.state in ALIVE]
    unsettled = [
        keep
        for keep, spec in done
        if not works(keep, spec, around.runs.get(keep.id, UNKNOWN), monitor_s=switch.monitor_ms / 1000)
        and not has_failed(keep, spec)
    ]
    rested = all(around.runs.get(keep.id, UNKNOWN).steady_s >= switch.delay_ms / 1000 for keep, _ in done)
    room = (switch.parallelism or len(slots)) - len(unsettled) if rested else 0
    waiting = frozenset(slot.want.slot for slot in replaced[max(room, 0) :])
    return everyone - waiting


def _decided(
    slot: Slot, made: Mapping[str, Move], slots: Mapping[str, Slot], turns: frozenset[str], around: Around
) -> Move:
    want, keep = slot.want, slot.keep
    run = around.runs.get(keep.id, UNKNOWN) if keep is not None else UNKNOWN

    def move(kind: Literal["runs", "start", "ended", "wait", "down"], cause: str = "", **keys: object) -> Move:
        return Move(want, keep, slot.olds, kind, cause, **keys)  # type: ignore[arg-type]

    if want.service in around.stopped:
        alive = tuple(c for c in (keep, *slot.olds) if c is not None and c.state in ALIVE)
        return move("down", "stopped by request", stops=alive, stop_cause="stopped by request")
    wants_again = keep is not None and keep.id in around.again and around.again[keep.id] == run.started_at_ms
    if keep is not None and keep.state in ALIVE and not wants_again:
        if run.is_looping:
            return move("wait", RESTS, stops=(keep,), stop_cause=RESTS, is_rest=True)
        return _beside_a_running_one(slot, run, around)
    if keep is not None and has_ended(keep, want.spec) and not wants_again:
        return move("ended", stops=slot.alive_olds, stop_cause=slot.replaced)
    alive = tuple(c for c in (keep, *slot.olds) if c is not None and c.state in ALIVE) if wants_again else ()
    hindrance = _hindrance(slot, made, slots, turns, around=around)
    if hindrance:
        away = slot.alive_olds if around.is_rough else alive
        return move("wait", hindrance, stops=away, stop_cause=slot.replaced or "asked to restart")
    is_gentle = switch_of(want.spec, going_back=around.going_back).order == "start-first" and not around.is_rough
    stops = alive or (() if is_gentle else slot.alive_olds)
    return move("start", _why_it_starts(keep, wants_again), stops=stops, stop_cause=slot.replaced or "asked to restart")


def _beside_a_running_one(slot: Slot, run: Run, around: Around) -> Move:
    """Return the move of a slot whose container runs: what ran before it ends, at once or when this one works."""
    assert slot.keep is not None
    switch = switch_of(slot.want.spec, going_back=around.going_back)
    proven = works(slot.keep, slot.want.spec, run, monitor_s=switch.monitor_ms / 1000)
    if slot.alive_olds and switch.order == "start-first" and not proven and not around.is_rough:
        cause = "the one before it runs until this one works"
        return Move(slot.want, slot.keep, slot.olds, "runs", cause)
    return Move(slot.want, slot.keep, slot.olds, "runs", stops=slot.alive_olds, stop_cause=slot.replaced)


def _why_it_starts(keep: Container | None, wants_again: bool) -> str:
    if wants_again:
        return "asked to restart"
    if keep is None or keep.state == "created":
        return "created, not yet started"
    if keep.was_cut_off:
        return "ended by a reboot, should run"
    return f"ended with code {keep.exit_code}, should run"


def _hindrance(
    slot: Slot, made: Mapping[str, Move], slots: Mapping[str, Slot], turns: frozenset[str], *, around: Around
) -> str:
    """Return what a slot must wait for before it starts, or an empty string."""
    run = around.runs.get(slot.keep.id, UNKNOWN) if slot.keep is not None else UNKNOWN
    if slot.keep is None:
        if slot.want.image in around.absent:
            return "its image is not here"
        absent = sorted(other for other in slot.want.joined if slots[other].keep is None)
        if absent:
            return f"{absent[0]} is not made yet"
    if run.rests_s > 0:
        return RESTS
    for other, dependency in sorted(slot.want.spec.depends_on.items()):
        there = [move for move in made.values() if move.want.service == other]
        if not there and not dependency.required:
            continue
        if not there or not all(_fulfils(dependency, move) for move in there):
            return f"{other} is not {dependency.condition.removeprefix('service_').replace('_', ' ')}"
    return "" if slot.want.slot in turns else "others of its service are replaced first"


def _fulfils(dependency: Dependency, move: Move) -> bool:
    """Return whether a dependency holds, or will once the steps of this plan are done."""
    keep = move.keep
    if dependency.condition == "service_completed_successfully":
        return keep is not None and keep.state == "exited" and keep.exit_code == 0
    if dependency.condition == "service_healthy":
        return move.kind == "runs" and keep is not None and keep.state == "running" and keep.health == "healthy"
    return move.kind == "start" or (move.kind in ("runs", "ended") and keep is not None and is_up(keep))


def hangs_on(want: WantedContainer) -> frozenset[str]:
    """Return the services whose restart is this one's too: it says so, or it lives in their namespaces."""
    return frozenset(want.joined) | {other for other, d in want.spec.depends_on.items() if d.restart}


def dragged(made: Mapping[str, Move]) -> tuple[Container, ...]:
    """Return the running containers that must be started anew because what they hang on is started now."""
    found: dict[str, Container] = {}
    started = {move.want.service for move in made.values() if move.kind == "start"}
    for slot, move in made.items():  # dependencies come first
        if move.kind == "runs" and move.keep is not None and hangs_on(move.want) & started:
            found[slot] = move.keep
            started.add(move.want.service)
    return tuple(found.values())
