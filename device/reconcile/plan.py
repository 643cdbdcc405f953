"""The plan: a pure function from what is wanted and what was observed to the steps that can be taken now for one app.

The loop observes again after every plan, so a plan holds only steps whose preconditions hold now or are made true by
earlier steps of it. Everything is made before anything that runs is stopped; dependents stop before and start after
what they depend on; what was replaced is removed last, and not before the release has shown that it works.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from device.engine import labels
from device.engine.port import Container, NetworkSeen, Observed, WantedContainer
from device.reconcile.moves import (
    ALIVE,
    Around,
    Move,
    dragged,
    hangs_on,
    hook_key,
    in_order,
    lost_network,
    moves,
    restart_differs,
    why_replaced,
)
from device.reconcile.steps import (
    Create,
    CreateNetwork,
    CreateVolume,
    Draft,
    Either,
    Plan,
    Remove,
    RemoveNetwork,
    Rename,
    RunHook,
    SetRestart,
    Start,
    Stop,
)
from device.reconcile.wanted import Wanted

GRACE_S = 10  # of a container of which nothing else is known


def images_needed(app: Wanted, observed: Observed) -> list[str]:
    """Return the images that a container must still be made from: only these need looking up."""
    have = {(c.instance, c.slot, c.hash) for c in observed.containers if not lost_network(app, c)}
    missing = {c.image for slot, c in app.containers.items() if (app.instance, slot, c.hash) not in have}
    return sorted(missing)


def is_whole(app: Wanted, observed: Observed) -> bool:
    """Return whether an app is there as wanted, and nothing else of it runs."""
    mine = [container for container in observed.containers if container.instance == app.instance]
    wanted_ones = {(slot, want.hash) for slot, want in app.containers.items()}
    alive = {(container.slot, container.hash) for container in mine if container.state in ALIVE}
    return wanted_ones <= {(c.slot, c.hash) for c in mine if not lost_network(app, c)} and alive <= wanted_ones


def plan(app: Wanted, observed: Observed, around: Around = Around()) -> Plan:
    """Return what to do now so that `app` is as wanted."""
    mine = sorted(
        (c for c in observed.containers if c.instance == app.instance), key=lambda c: (c.service, c.index, c.id)
    )
    return _AppPlan(app, mine, observed, around).made()


def to_restart(app: Wanted, observed: Observed, around: Around) -> tuple[Container, ...]:
    """Return what runs and must be started anew because of what `plan` would start."""
    if not any(hangs_on(want) for want in app.containers.values()):
        return ()
    return dragged(moves(app, [c for c in observed.containers if c.instance == app.instance], around))


def removal(instance: str, observed: Observed, app: Wanted | None) -> Plan:
    """Return how an app that is not wanted goes: its containers, dependents first, then its networks, never its
    volumes. `app` is what is known of it."""
    draft = Draft()
    mine = [container for container in observed.containers if container.instance == instance]
    wants = {} if app is None else {c.id: app.containers[c.slot] for c in mine if c.slot in app.containers}
    around = Around(known={c.hash: wants[c.id] for c in mine if c.id in wants})
    rank = {} if app is None else {service: number for number, service in enumerate(in_order(app))}
    stops: dict[str, int] = {}
    for container in sorted(mine, key=lambda c: (-rank.get(c.service, len(rank)), c.index, c.id)):
        dependents = [
            step
            for key, step in stops.items()
            if key in wants and container.service in {*wants[key].spec.depends_on, *wants[key].joined}
        ]
        gone = _away(draft, container, around, cause="its app is not in the desired state", after=dependents)
        stops[container.id] = gone - 1 if container.state in ALIVE else gone
    for network in sorted((n for n in observed.networks if n.instance == instance), key=lambda n: n.name):
        draft.add(RemoveNetwork(network, cause="no app uses it"), after=range(len(draft.steps)))
    return draft.plan()


def _away(draft: Draft, container: Container, around: Around, *, cause: str, after: Iterable[int] = ()) -> int:
    last = list(after)
    if container.state in ALIVE:
        last = [_stop(draft, container, around, cause=cause, after=last)]
    return draft.add(Remove(container, cause), after=last)


def _stop(
    draft: Draft, container: Container, around: Around, *, cause: str, after: Iterable[int] = (), is_rest: bool = False
) -> int:
    """Add the stop of a container, its pre_stop hooks before it; return the number of the stop."""
    want = around.known.get(container.hash)
    last = list(after)
    for hook in want.spec.pre_stop if want is not None and container.state == "running" else ():
        last = [draft.add(RunHook(container, hook, must_pass=False, cause="before it stops"), after=last)]
    grace_s = GRACE_S if want is None else -(-want.spec.stop_grace_ms // 1000)
    return draft.add(Stop(container, grace_s, cause, is_rest), after=last)


class _AppPlan:
    """One app's plan in the making."""

    def __init__(self, app: Wanted, mine: Sequence[Container], observed: Observed, around: Around) -> None:
        known = {**around.known, **{want.hash: want for want in app.containers.values()}}
        self._app, self._mine, self._observed = app, mine, observed
        self._around = replace(around, known=known, spare=around.spare - {c.hash for c in app.containers.values()})
        self._draft = Draft()
        self._moves = moves(app, mine, self._around)
        self._names = {container.name for container in observed.containers}
        self._made: dict[str, WantedContainer] = {}  # by slot, as it is created: its name may be a passing one
        self._creates: dict[str, int] = {}  # by slot: the step that creates it
        self._stops: dict[str, int] = {}  # by container id: the step that stops it
        self._removes: dict[str, int] = {}  # by name: the step that removes its container
        self._room: list[int] = []  # the steps that make room for all others
        self._up: dict[str, int] = {}  # by slot: the step after which it has started

    def made(self) -> Plan:
        networks = self._networks_to_remake()
        if networks:
            self._remake(networks)
            return self._draft.plan()
        self._create(self._resources())
        self._stop_early()
        self._gone()
        for slot, move in self._moves.items():
            self._go(slot, move)
        for slot, move in self._moves.items():
            self._tidy(slot, move)
        kept = [move.keep for move in self._moves.values()]
        if not self._draft.steps and not self._draft.waiting and all(container in kept for container in self._mine):
            self._networks_away()
        return self._draft.plan()

    # --- what containers need to be there

    def _networks_to_remake(self) -> dict[str, NetworkSeen | None]:
        """Return the networks that are not as wanted while containers hang on them; None for one that is missing."""
        seen = {network.name: network for network in self._observed.networks}
        wrong = {
            n.name: seen.get(n.name) for n in self._app.networks if n.name not in seen or seen[n.name].hash != n.hash
        }
        return {name: network for name, network in wrong.items() if self._users(name, is_there=network is not None)}

    def _users(self, network: str, *, is_there: bool) -> list[Container]:
        """Return the containers that are on a network, or may be: of an unknown release, while the network is there."""
        known = self._around.known
        return [c for c in self._mine if (network in known[c.hash].networks if c.hash in known else is_there)]

    def _remake(self, networks: Mapping[str, NetworkSeen | None]) -> None:
        """An engine's containers hold on to the very network they were made with: they go with it."""
        wanted = {network.name: network for network in self._app.networks}
        rank = {service: number for number, service in enumerate(in_order(self._app))}
        users = {c.id: (c, n) for n in sorted(networks) for c in self._users(n, is_there=networks[n] is not None)}
        for container, name in sorted(users.values(), key=lambda u: (-rank.get(u[0].service, len(rank)), u[0].id)):
            cause = f"its network {wanted[name].resource} is {'missing' if networks[name] is None else 'made anew'}"
            _away(self._draft, container, self._around, cause=cause, after=range(len(self._draft.steps)))
        for name, network in sorted(networks.items()):
            before = range(len(self._draft.steps))
            if network is not None:
                self._draft.add(RemoveNetwork(network, cause="its definition changed"), after=before)
            self._draft.add(CreateNetwork(wanted[name], cause="missing"), after=range(len(self._draft.steps)))

    def _resources(self) -> list[int]:
        seen = {network.name: network for network in self._observed.networks}
        steps = []
        for network in self._app.networks:
            have = seen.get(network.name)
            if have is not None and have.hash == network.hash:
                continue
            before = [] if have is None else [self._draft.add(RemoveNetwork(have, cause="its definition changed"))]
            steps.append(self._draft.add(CreateNetwork(network, cause="missing"), after=before))
        return steps + [
            self._draft.add(CreateVolume(volume, cause="missing"))
            for volume in self._app.volumes
            if volume.name not in self._observed.volumes
        ]

    # --- containers

    def _create(self, ready: list[int]) -> None:
        """Make what is missing, beside what is there: an engine that refuses one has disturbed nothing."""
        for slot, move in self._moves.items():
            unfinished = [self._draft.add(Remove(old, cause="left half made")) for old in move.olds if not old.hash]
            joined = {other: self._moves[other].keep for other in sorted(move.want.joined)}
            cannot = None in joined.values() or move.want.image in self._around.absent
            if move.keep is not None or move.kind == "down" or cannot:
                continue
            want = replace(move.want, name=self._free_name(move.want))
            ids = {other: container.id for other, container in joined.items() if container is not None}
            if ids:
                want = replace(want, joined=ids, labels={**want.labels, labels.JOINED: ",".join(ids.values())})
            replaces = [old for old in move.olds if old.hash]
            cause = f"replaces {replaces[0].hash[7:19] or replaces[0].id[:12]}" if replaces else "missing"
            self._made[slot] = want
            self._creates[slot] = self._draft.add(Create(want, cause), after=[*ready, *unfinished])

    def _free_name(self, want: WantedContainer) -> str:
        """Return the name, or while another container has it a passing one that no other identity takes."""
        passing = f"{want.name}.{want.hash[7:15]}"
        name = next(n for n in (want.name, passing, *(f"{passing}.{k}" for k in range(2, 100))) if n not in self._names)
        self._names.add(name)
        return name

    def _stop_early(self) -> None:
        """Stop, dependents first, what cannot run while what it hangs on is stopped; and what only stops."""
        for move in reversed(self._moves.values()):
            is_early = any(m.stops for m in self._moves.values() if m.want.service in hangs_on(move.want))
            if move.kind in ("wait", "down", "ended") or is_early or self._around.is_rough:
                self._stop(move, after=[*self._creates.values(), *self._stops.values()])
        self._room += self._stops.values()

    def _stop(self, move: Move, *, after: Iterable[int]) -> None:
        for container in move.stops:
            if container.id not in self._stops:
                is_same = container.hash == move.want.hash and container is not move.keep
                cause = why_replaced(self._app, container) if is_same else move.stop_cause
                self._stops[container.id] = _stop(
                    self._draft, container, self._around, cause=cause, after=after, is_rest=move.is_rest
                )

    def _gone(self) -> None:
        """What the release no longer has makes room, once all that is new could be made."""
        for container in self._mine:
            if container.slot in self._moves:
                continue
            is_service = container.service in self._app.section.spec.services
            cause = "its service has fewer replicas" if is_service else "the release has no such service"
            before = [*self._creates.values(), *self._stops.values()]
            if container.hash not in self._around.spare:
                gone = _away(self._draft, container, self._around, cause=cause, after=before)
                self._removes[container.name] = gone
                self._room.append(gone)
            elif container.state in ALIVE:
                stop = _stop(self._draft, container, self._around, cause=cause, after=before)
                self._stops[container.id] = stop
                self._room.append(stop)

    def _go(self, slot: str, move: Move) -> None:
        """Bring one slot to where its move says, once what it depends on has started."""
        depends_on = move.want.spec.depends_on
        needs = [step for other, step in self._up.items() if self._moves[other].want.service in depends_on]
        self._stop(move, after=[*self._creates.values(), *needs, *self._room])
        container: Either | None = self._made.get(slot, move.keep)
        if move.cause and move.kind != "start":
            self._draft.wait(slot, move.cause)
        if container is None or move.kind not in ("start", "runs"):
            return
        last: list[int] = []
        if move.kind == "start":
            own = [self._stops[c.id] for c in move.stops if c.id in self._stops]
            before = [*needs, *own, *self._room]
            before += [self._creates[slot]] if slot in self._creates else []
            has_secrets = any(file.sealed for file in move.want.files)
            again = move.want if has_secrets and isinstance(container, Container) else None
            last = [self._draft.add(Start(container, move.cause, again), after=before)]
        is_running = move.keep is not None and move.keep.state == "running"
        if move.kind == "start" or (is_running and hook_key(move.want) not in self._around.hooked):
            for hook in move.want.spec.post_start:
                step = RunHook(container, hook, must_pass=True, cause="after its start")
                last = [self._draft.add(step, after=[*last, *needs])]
        if isinstance(container, Container) and restart_differs(container, move.want, self._around):
            self._draft.add(SetRestart(container, move.want, cause="the release asks for it"))
        if last:
            self._up[slot] = last[0]

    def _tidy(self, slot: str, move: Move) -> None:
        """Remove what was replaced, unless the release it is of may be gone back to, and put names right."""
        after = [self._up[slot]] if slot in self._up else []
        for old in move.olds:
            is_over = old.state not in ALIVE or old.id in self._stops
            if old.hash and is_over and old.hash not in self._around.spare:
                before = [*after, *([self._stops[old.id]] if old.id in self._stops else [])]
                cause = why_replaced(self._app, old)
                self._removes[old.name] = self._draft.add(Remove(old, cause), after=before)
        container: Either | None = self._made.get(slot, move.keep)
        name = move.want.name
        if container is None or container.name == name or (name in self._names and name not in self._removes):
            return
        before = [*after, *([self._creates[slot]] if slot in self._creates else [])]
        before += [self._removes[name]] if name in self._removes else []
        self._draft.add(Rename(container, name, cause="its name is free again"), after=before)

    def _networks_away(self) -> None:
        wanted = {network.name for network in self._app.networks}
        for network in sorted(self._observed.networks, key=lambda n: n.name):
            if network.instance == self._app.instance and network.name not in wanted:
                self._draft.add(RemoveNetwork(network, cause="no app uses it"))
