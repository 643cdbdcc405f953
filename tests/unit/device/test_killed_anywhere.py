"""Killed anywhere, refused anything, again and again: in the end an app is wholly in one release, and in the right one.

A story is a list of wishes with faults between them, on the memory engine and real files; time is the script's.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from broker.files import StorageUnavailable, write_durably
from broker.messages import AppSection
from device import checked_file
from device.engine.memory import MemoryEngine
from device.engine.port import EngineRefused, EngineUnavailable
from tests.harness.apps import section, service
from tests.unit.device.stages import Stage

CHANGES = ("create", "start", "stop", "remove", "rename", "create_network", "remove_network", "create_volume")
GOOD = ("1", "2")  # the digits that the digests of releases that work are made of
BAD = "3"
ROUNDS = 14


class Killed(BaseException):
    """The process ends here and now."""


def release(digit: str, *, order: str, policy: str) -> AppSection:
    """Return an app of three services in a chain, all made from images of one digest."""
    keys: dict[str, Any] = {
        "digest": "sha256:" + digit * 64,
        "restart": {"policy": policy},
        "networks": {"back": {}},
        "update": {"order": order},
        "healthcheck": {"test": ["CMD", "true"]},
    }
    services = {
        "store": service("store", **keys, mounts=[{"type": "volume", "source": "data", "target": "/data"}]),
        "api": service("api", **keys, depends_on={"store": {"condition": "service_healthy"}}),
        "web": service("web", **keys, depends_on={"api": {}}),
    }
    return section(services, networks={"back": {}}, volumes={"data": {}})


@dataclass
class Fault:
    """What happens at the `at`-th change to the engine or the disk from now on."""

    at: int
    kind: str  # killed before, killed after, refused, away, full


@dataclass
class World:
    """A stage whose engine and disk fail on demand, and that watches what is done to it."""

    stage: Stage
    fault: Fault | None = None
    changes: int = 0
    wrong: list[str] = field(default_factory=list)

    def passing(self, name: str, real: Callable[..., Any], *arguments: Any, **keys: Any) -> Any:
        self.changes += 1
        fault = self.fault if self.fault is not None and self.changes == self.fault.at else None
        if fault is None:
            return real(*arguments, **keys)
        self.fault = None
        if fault.kind == "refused" and name != "write":
            raise EngineRefused("engine_error", f"{name} is refused")
        if fault.kind == "away" and name != "write":
            raise EngineUnavailable("no answer")
        if fault.kind == "full" and name == "write":
            raise StorageUnavailable("no space left")
        if fault.kind == "killed after":
            real(*arguments, **keys)
        if fault.kind.startswith("killed"):
            raise Killed
        return real(*arguments, **keys)

    def live(self) -> None:
        """Let time pass: checks tell of a release what it is worth."""
        for key, container in self.stage.engine.by_id.items():
            if container.state == "running":
                health = "unhealthy" if f"sha256:{BAD}" in container.image else "healthy"
                self.stage.engine.by_id[key] = replace(container, health=health)  # type: ignore[arg-type]

    def go_on(self) -> None:
        """Reconcile for a while; a worker that was killed comes back."""
        for _ in range(ROUNDS):
            try:
                self.stage.turns(2)
            except Killed:
                self.stage.restart()
            self.live()
            self.stage.clock.sleep(2)

    def releases(self) -> set[str]:
        """Return the digits of the releases that run, and `?` where a service is missing."""
        running = [c for c in self.stage.engine.by_id.values() if c.state == "running"]
        services = sorted(c.service for c in running)
        return {c.image.partition("sha256:")[2][:1] for c in running} | (
            set() if services == ["api", "store", "web"] else {"?"}
        )


def made(world_folder: Path) -> World:
    world = World(Stage(world_folder))
    engine: MemoryEngine = world.stage.engine
    for name in CHANGES:
        real = getattr(engine, name)
        setattr(engine, name, lambda *a, _n=name, _r=real, **k: world.passing(_n, _r, *a, **k))
    for digit in (*GOOD, BAD):
        for name in ("store", "api", "web"):
            engine.registry.add(f"127.0.0.1:5000/oaaaaaaaaaaa/aaaaaaaaaaaa/{name}@sha256:{digit * 64}")
    engine.volumes.add("somebodys")
    return world


faults = st.builds(
    Fault, st.integers(1, 40), st.sampled_from(["killed before", "killed after", "refused", "away", "full"])
)
wishes = st.tuples(st.sampled_from([*GOOD, BAD]), st.one_of(st.none(), faults))


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    first=st.one_of(st.none(), faults),
    story=st.lists(wishes, min_size=1, max_size=4),
    order=st.sampled_from(["stop-first", "start-first"]),
    policy=st.sampled_from(["unless-stopped", "no"]),
)
def test_whatever_fails_and_wherever_it_is_killed_the_app_ends_wholly_in_the_right_release(
    first: Fault | None, story: list[tuple[str, Fault | None]], order: str, policy: str
) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patched:
        world = made(Path(folder))
        patched.setattr(checked_file, "write_durably", functools.partial(world.passing, "write", write_durably))
        expected = ""
        for digit, fault in [("1", first), *story]:
            world.changes, world.fault = 0, fault
            world.stage.want(release(digit, order=order, policy=policy))
            world.go_on()
            expected = digit if digit in GOOD else expected
            assert world.releases() == {expected}, (digit, fault, world.stage.reports[-1])
        state = "converged" if story[-1][0] in GOOD else "failed"
        world.fault = None
        world.go_on()
        assert world.stage.states() == [f"hello {state}"]
        assert len(world.stage.engine.by_id) == 3  # nothing of another release is left
        assert sorted(c.name for c in world.stage.engine.by_id.values()) == [
            f"hello.iaaaaaaaaaaa.{name}" for name in ("api", "store", "web")
        ]
        assert {"somebodys", "hello.iaaaaaaaaaaa.data"} <= world.stage.engine.volumes


def test_the_story_notices_a_worker_that_mixes_releases() -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = made(Path(folder))
        world.stage.want(release("1", order="stop-first", policy="no"))
        world.go_on()
        assert world.releases() == {"1"}
        key = next(key for key, c in world.stage.engine.by_id.items() if c.service == "api")
        other = world.stage.engine.by_id[key].image.replace("1" * 64, "2" * 64)
        world.stage.engine.by_id[key] = replace(world.stage.engine.by_id[key], image=other)
        assert world.releases() == {"1", "2"}
        world.stage.engine.by_id[key] = replace(world.stage.engine.by_id[key], state="exited")
        assert world.releases() == {"1", "?"}
