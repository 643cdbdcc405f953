"""The vocabulary of plans: each step is one engine call with the cause that asked for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import assert_never

from broker.appspec import Hook
from broker.errors import SkerryError
from device.engine.port import (
    Container,
    EngineUnavailable,
    NetworkSeen,
    WantedContainer,
    WantedNetwork,
    WantedVolume,
)

Either = Container | WantedContainer  # one that is there, or one that an earlier step of the plan makes


@dataclass(frozen=True)
class CreateNetwork:
    network: WantedNetwork
    cause: str


@dataclass(frozen=True)
class RemoveNetwork:
    network: NetworkSeen
    cause: str


@dataclass(frozen=True)
class CreateVolume:
    volume: WantedVolume
    cause: str


@dataclass(frozen=True)
class Create:
    container: WantedContainer
    cause: str


@dataclass(frozen=True)
class Start:
    """`wanted` is given where files of a container that is there may have to be laid ready again."""

    container: Either
    cause: str
    wanted: WantedContainer | None = None


@dataclass(frozen=True)
class RunHook:
    """Run a command inside. One that `must_pass` and does not makes the release a bad one; else it is only noted."""

    container: Either
    hook: Hook
    must_pass: bool
    cause: str


@dataclass(frozen=True)
class SetRestart:
    """Give a container the restart policy that `wanted` has."""

    container: Container
    wanted: WantedContainer
    cause: str


@dataclass(frozen=True)
class Stop:
    container: Container
    grace_s: int
    cause: str
    is_rest: bool = False  # it crashes again and again: it is started after a pause


@dataclass(frozen=True)
class Remove:
    container: Container
    cause: str


@dataclass(frozen=True)
class Rename:
    container: Either
    name: str
    cause: str


Step = (
    CreateNetwork | RemoveNetwork | CreateVolume | Create | Start | RunHook | SetRestart | Stop | Remove | Rename
)  # fmt: skip


@dataclass(frozen=True)
class Waiting:
    """A service or replica that cannot go on yet, and for what."""

    slot: str
    cause: str


@dataclass(frozen=True)
class Plan:
    """What can be done now for one app, and what has to wait. Neither: converged.

    `after[n]` are the numbers of the steps that must have been done before step n, all of them smaller than n: so the
    steps in their order are one way to carry a plan out, and side by side where `after` lets them is another.
    """

    steps: tuple[Step, ...] = ()
    after: tuple[frozenset[int], ...] = ()
    waiting: tuple[Waiting, ...] = ()

    @property
    def converged(self) -> bool:
        return not self.steps and not self.waiting

    def lines(self) -> list[str]:
        """Return the plan as text, a line a step: what tests compare and people read."""
        return [line(step) for step in self.steps] + [f"wait {item.slot}: {item.cause}" for item in self.waiting]


@dataclass(frozen=True)
class Outcome:
    """What became of a plan. `error` is the first step that failed, with its exception."""

    done: tuple[Step, ...] = ()
    left: tuple[Step, ...] = ()  # not done: failed, in need of one that failed, or cut short by a newer wish
    failed: Step | None = None
    error: SkerryError | None = None

    @property
    def engine_away(self) -> bool:
        return isinstance(self.error, EngineUnavailable)


@dataclass
class Draft:
    """A plan while it is being made."""

    steps: list[Step] = field(default_factory=list)
    after: list[frozenset[int]] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)

    def add(self, step: Step, *, after: Iterable[int] = ()) -> int:
        """Append a step that may be done once those with these numbers are; return its own number."""
        self.steps.append(step)
        self.after.append(frozenset(after))
        return len(self.steps) - 1

    def wait(self, slot: str, cause: str) -> None:
        self.waiting.append(Waiting(slot, cause))

    def plan(self) -> Plan:
        return Plan(tuple(self.steps), tuple(self.after), tuple(self.waiting))


def reference(container: Either) -> str:
    """Return what an engine knows a container by: its id, or its name while it is still to be made."""
    return container.id if isinstance(container, Container) else container.name


def line(step: Step) -> str:
    """Return one step as a line of text."""
    match step:
        case CreateNetwork():
            what = f"create network {step.network.name}"
        case RemoveNetwork():
            what = f"remove network {step.network.name}"
        case CreateVolume():
            what = f"create volume {step.volume.name}"
        case Create():
            what = f"create {step.container.slot}"
        case Start():
            what = f"start {_named(step.container)}"
        case RunHook():
            what = f"run {step.hook.command[0]} in {_named(step.container)}"
        case SetRestart():
            what = f"set restart of {_named(step.container)} to {step.wanted.spec.restart.policy}"
        case Stop():
            what = f"stop {_named(step.container)}"
        case Remove():
            what = f"remove {_named(step.container)}"
        case Rename():
            what = f"rename {_named(step.container)} to {step.name}"
        case _:
            assert_never(step)
    return f"{what}: {step.cause}"


def _named(container: Either) -> str:
    return f"{container.slot} {container.id[:12]}" if isinstance(container, Container) else container.slot
