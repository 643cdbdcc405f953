"""Random worlds on the memory engine: plans, applied round by round, end in what is wanted and break nothing."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from device.engine.memory import MemoryEngine
from device.engine.port import Container, EngineRefused, NetworkSeen, restart_text
from device.reconcile.execute import execute
from device.reconcile.facts import Run
from device.reconcile.moves import Around
from device.reconcile.plan import images_needed, plan, removal, to_restart
from device.reconcile.steps import Plan, Remove, RemoveNetwork, SetRestart, Start, Stop
from device.reconcile.wanted import Wanted, wanted
from tests.harness.apps import PLACE, section, service
from tests.unit.device.worlds import CHECK

NAMES = ("db", "job", "web")
INSTANCES = ("iaaaaaaaaaaa", "ibbbbbbbbbbb", "iccccccccccc")
ROUNDS_MAX = 24  # three chained services take two rounds each; removals, networks and late images a few more
QUICK = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def some_services(random: Random) -> dict[str, Any]:
    """Return services that can all get where their dependents want them: `job` runs once, the others for ever."""
    order = random.sample(NAMES, random.randint(1, len(NAMES)))
    made: dict[str, Any] = {}
    for at, name in enumerate(order):
        once = name == "job"
        keys: dict[str, Any] = {
            "restart": {"policy": "no" if once else random.choice(["always", "unless-stopped"])},
            "environment": {"V": random.choice("12")},
            "replicas": 1 if once else random.choice([1, 1, 2]),
            "update": {"order": random.choice(["stop-first", "start-first"]), "parallelism": random.choice([0, 1])},
        }
        if not once and random.random() < 0.5:
            keys["healthcheck"] = CHECK
        if random.random() < 0.5:
            keys["networks"] = {"front": {}}
        if random.random() < 0.5:
            keys["mounts"] = [{"type": "volume", "target": "/d", "source": "data"}]
        needs = random.sample(order[:at], random.randint(0, at))
        keys["depends_on"] = {
            other: {"condition": some_condition(random, other, made[other]), "restart": random.random() < 0.3}
            for other in needs
        }
        made[name] = service(name, digest="sha256:" + random.choice("12") * 64, **keys)
    return made


def some_condition(random: Random, name: str, other: dict[str, Any]) -> str:
    possible = ["service_started"]
    if name == "job":
        possible.append("service_completed_successfully")
    elif "healthcheck" in other:
        possible.append("service_healthy")
    return random.choice(possible)


def some_app(random: Random, instance: str) -> Wanted:
    networks = {"front": {"internal": random.random() < 0.5}} | ({"back": {}} if random.random() < 0.5 else {})
    volumes: dict[str, Any] = {"data": {}} | ({"more": {}} if random.random() < 0.5 else {})
    made = section(
        some_services(random), name=f"app-{instance[1]}", instance=instance, networks=networks, volumes=volumes
    )
    return wanted(made, PLACE)


# Made once: building an app costs more than everything that is then done with it.
_RANDOM = Random(1)  # noqa: S311 - variety, not secrecy
POOL = {instance: [some_app(_RANDOM, instance) for _ in range(24)] for instance in INSTANCES}
apps = st.sets(st.sampled_from(INSTANCES)).flatmap(
    lambda chosen: st.tuples(*(st.sampled_from(POOL[instance]) for instance in sorted(chosen)))
)


@dataclass
class Device:
    """A memory engine with what the loop does around plans; `seen` is told every plan before it is carried out."""

    engine: MemoryEngine
    seen: Callable[[MemoryEngine, Plan, frozenset[str]], None] = lambda engine, todo, absent: None
    random: Random = field(default_factory=lambda: Random(1))  # noqa: S311 - variety, not secrecy
    restarts: dict[str, str] = field(default_factory=dict)  # as the journal keeps them

    def round(self, wanted_apps: Sequence[Wanted]) -> bool:
        """Let each app come forward once; return whether there was nothing to do."""
        observed = self.engine.observe()
        runs = {key: Run(steady_s=3600.0) for key in self.engine.by_id}
        idle = True
        for app in wanted_apps:
            absent = frozenset(i for i in images_needed(app, observed) if not self.engine.has_image(i))
            if absent:  # as the loop does: nothing of an app is touched before everything is here
                for image in absent & self.engine.registry:
                    self.engine.pull(image, token="token", progress=lambda done, total: None)
                idle = False
                continue
            around = Around(runs=runs, restarts=self.restarts)
            around = replace(around, again=dict.fromkeys(c.id for c in to_restart(app, observed, around)))
            todo = plan(app, observed, around)
            self.seen(self.engine, todo, absent)
            self.carry_out(todo)
            idle = idle and todo.converged
        live = {app.instance for app in wanted_apps}
        there = {c.instance for c in observed.containers} | {n.instance for n in observed.networks}
        for instance in sorted(there - live):
            todo = removal(instance, observed, None)
            self.seen(self.engine, todo, frozenset())
            self.carry_out(todo)
            idle = False
        self.live()
        return idle

    def carry_out(self, todo: Plan) -> None:
        """Do the steps in any order that `after` allows: all such orders must do."""
        done: set[int] = set()
        while len(done) < len(todo.steps):
            ready = [n for n in range(len(todo.steps)) if n not in done and todo.after[n] <= done]
            number = self.random.choice(ready)
            step = todo.steps[number]
            try:
                execute(step, self.engine)
            except EngineRefused as error:  # every step was planned to be possible
                raise AssertionError(f"{step}: {error}") from error
            done.add(number)
            if isinstance(step, SetRestart):
                self.restarts[step.container.id] = restart_text(step.wanted.spec.restart)

    def live(self) -> None:
        """Let time pass: checks get well, and what runs once ends."""
        for key, container in self.engine.by_id.items():
            if container.state == "running" and container.health in ("starting", "unhealthy"):
                self.engine.by_id[key] = replace(container, health="healthy")
            if container.state == "running" and container.service == "job":
                self.engine.by_id[key] = replace(container, state="exited", exit_code=0)

    def converge(self, wanted_apps: Sequence[Wanted]) -> int:
        """Go on until a plan is empty; return after how many rounds."""
        for rounds in range(ROUNDS_MAX):
            if self.round(wanted_apps):
                return rounds
        observed = self.engine.observe()
        around = Around(restarts=self.restarts)
        raise AssertionError(f"not converged: {[plan(app, observed, around).lines() for app in wanted_apps]}")


def with_images(*many: Sequence[Wanted]) -> MemoryEngine:
    engine = MemoryEngine()
    engine.registry |= {image for some in many for app in some for image in app.images}
    return engine


@st.composite
def worlds(draw: st.DrawFn, before: Sequence[Wanted]) -> MemoryEngine:
    """Draw what an earlier release left behind, at any moment of its life, and what went wrong since."""
    engine = with_images(before)
    device = Device(engine)
    for _ in range(draw(st.integers(0, 12))):
        device.round(before)
    numbers = itertools.count(1)
    for key, container in sorted(engine.by_id.items()):
        fate = draw(st.sampled_from(["", "", "", "ended", "crashes", "ill", "twin", "gone", "off"]))
        if fate == "ended":
            code = 0 if container.service == "job" else draw(st.sampled_from([0, 1, 137]))
            engine.by_id[key] = replace(container, state="exited", exit_code=code, health="none")
        elif fate == "crashes" and container.service != "job":
            engine.by_id[key] = replace(container, health="unhealthy", state="running")
        elif fate == "twin":
            twin = replace(container, id=f"t{next(numbers)}", name=f"twin-{next(numbers)}")
            engine.by_id[twin.id], engine.specs[twin.id] = twin, engine.specs[key]
        elif fate == "off":
            engine.by_id[key] = replace(container, networks=frozenset())
        elif fate == "gone":
            engine.remove(key)
    if draw(st.booleans()):
        engine.networks["stray"] = NetworkSeen("n0", "stray", draw(st.sampled_from(INSTANCES)), "h")
    engine.images -= draw(st.sets(st.sampled_from(sorted(engine.images)))) if engine.images else set()
    return engine


class Story:
    """A world, and what is wanted of it now; told in a few lines where it fails."""

    def __init__(self, engine: MemoryEngine, now: tuple[Wanted, ...]) -> None:
        self.engine = engine
        self.now = now

    def __repr__(self) -> str:
        have = [f"{c.id} {c.name} {c.hash[7:12]} {c.state} {c.health}" for c in self.engine.by_id.values()]
        want = [
            f"{slot}: {c.hash[7:12]} {c.spec.restart.policy} {c.spec.update} {dict(c.spec.depends_on)}"
            for app in self.now
            for slot, c in app.containers.items()
        ]
        return "\n".join(["have", *have, "want", *want])


@st.composite
def stories(draw: st.DrawFn) -> Story:
    """Draw a world and what is wanted of it now, of which every image can be had."""
    before, now = draw(apps), draw(apps)
    engine = draw(worlds(before))
    engine.registry |= with_images(now).registry
    return Story(engine, now)


@QUICK
@given(stories())
def test_every_world_becomes_what_is_wanted_in_a_few_rounds(story: Story) -> None:
    engine, now = story.engine, story.now
    Device(engine).converge(now)
    wanted_hashes = sorted(c.hash for app in now for c in app.containers.values())
    assert sorted(c.hash for c in engine.by_id.values()) == wanted_hashes  # one each, and nothing else
    assert sorted(n.hash for n in engine.networks.values()) == sorted(n.hash for app in now for n in app.networks)
    assert {v.name for app in now for v in app.volumes} <= engine.volumes
    for container in engine.by_id.values():
        assert (container.state, container.exit_code) in [("running", None), ("exited", 0)]
        assert container.state == "exited" or container.networks == frozenset(engine.specs[container.id].networks)


@QUICK
@given(stories())
def test_what_has_converged_stays_as_it_is(story: Story) -> None:
    engine, now = story.engine, story.now
    device = Device(engine)
    device.converge(now)
    before = engine.observe()
    engine.calls.clear()
    assert device.round(now)
    assert set(engine.calls) <= {"observe"}
    assert engine.observe() == before


@QUICK
@given(stories())
def test_no_plan_ever_removes_a_volume(story: Story) -> None:
    engine, now = story.engine, story.now
    engine.volumes.add("somebodys")
    kept = set(engine.volumes)
    Device(engine).converge(now)
    assert kept <= engine.volumes
    assert "remove_volume" not in engine.calls


@QUICK
@given(stories(), st.data())
def test_nothing_of_an_app_is_touched_before_all_its_images_are_here(story: Story, data: st.DataObject) -> None:
    engine, now = story.engine, story.now
    images = {app.instance: set(app.images) for app in now}

    def check(engine: MemoryEngine, todo: Plan, absent: frozenset[str]) -> None:
        held_up = {instance for instance, needed in images.items() if needed & absent}
        touched = {step.container.instance for step in todo.steps if isinstance(step, Stop | Remove)}
        touched |= {step.network.instance for step in todo.steps if isinstance(step, RemoveNetwork)}
        assert not touched & held_up

    late = engine.registry
    engine.registry = set(data.draw(st.sets(st.sampled_from(sorted(late)))) if late else set())
    device = Device(engine, check)
    here = engine.images | engine.registry
    held_up = {app.instance for app in now if not set(images_needed(app, engine.observe())) <= here}
    before = {key for key, container in engine.by_id.items() if container.instance in held_up}
    for _ in range(3):
        device.round(now)
    assert {key for key, container in engine.by_id.items() if container.instance in held_up} == before
    engine.registry = late
    device.converge(now)


@QUICK
@given(st.data())
def test_a_change_of_one_app_leaves_the_containers_of_the_others_running(data: st.DataObject) -> None:
    before = data.draw(apps.filter(lambda chosen: len(chosen) > 1))
    changed = data.draw(st.sampled_from(POOL[before[0].instance]))
    engine = with_images(before, (changed,))
    device = Device(engine)
    device.converge(before)
    others = {key: c for key, c in engine.by_id.items() if c.instance != changed.instance}
    networks = {key: n for key, n in engine.networks.items() if n.instance != changed.instance}
    device.converge((changed, *before[1:]))
    assert {key: c for key, c in engine.by_id.items() if c.instance != changed.instance} == others
    assert {key: n for key, n in engine.networks.items() if n.instance != changed.instance} == networks


@QUICK
@given(stories())
def test_a_service_is_never_made_before_what_it_depends_on_is_as_it_asks(
    story: Story,
) -> None:
    engine, now = story.engine, story.now
    asked = {c.hash: c for app in now for c in app.containers.values()}

    def check(engine: MemoryEngine, todo: Plan, absent: frozenset[str]) -> None:
        starts = {n: step for n, step in enumerate(todo.steps) if isinstance(step, Start)}
        for number, step in starts.items():
            want = asked[step.container.hash]
            for other, dependency in want.spec.depends_on.items():
                twins = [c for c in engine.by_id.values() if (c.instance, c.service) == (want.instance, other)]
                before = [s for n, s in starts.items() if n in todo.after[number] and s.container.service == other]
                holds_now = any(holds(dependency.condition, twin) for twin in twins)
                will_hold = dependency.condition == "service_started" and before
                assert holds_now or will_hold, f"{want.service} before {other}"

    Device(engine, check).converge(now)


def holds(condition: str, container: Container) -> bool:
    ended_well = (container.state, container.exit_code) == ("exited", 0)
    if condition == "service_completed_successfully":
        return ended_well
    if condition == "service_healthy":
        return (container.state, container.health) == ("running", "healthy")
    return container.state == "running" or ended_well
