"""The vocabulary of plans: each step is one engine call with the cause that asked for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from device.engine.port import Container, NetworkSeen, WantedContainer, WantedNetwork, WantedVolume


@dataclass(frozen=True)
class Pull:
    instance: str
    image: str
    cause: str


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
class Stop:
    container: Container
    grace_s: int
    cause: str


@dataclass(frozen=True)
class Remove:
    container: Container
    cause: str


@dataclass(frozen=True)
class Create:
    container: WantedContainer
    cause: str


@dataclass(frozen=True)
class Start:
    container: Container
    cause: str


Step = Pull | CreateNetwork | RemoveNetwork | CreateVolume | Stop | Remove | Create | Start


@dataclass(frozen=True)
class Waiting:
    """A service that cannot go on yet, and for what."""

    instance: str
    service: str
    cause: str


@dataclass(frozen=True)
class Plan:
    """What can be done now, in order, and what has to wait. Neither: converged."""

    steps: tuple[Step, ...] = ()
    waiting: tuple[Waiting, ...] = ()

    @property
    def converged(self) -> bool:
        return not self.steps and not self.waiting

    def lines(self) -> list[str]:
        """Return the plan as text, a line a step: what tests compare and people read."""
        return [line(step) for step in self.steps] + [f"wait {item.service}: {item.cause}" for item in self.waiting]


def line(step: Step) -> str:
    """Return one step as a line of text."""
    match step:
        case Pull():
            what = f"pull {step.image}"
        case CreateNetwork():
            what = f"create network {step.network.name}"
        case RemoveNetwork():
            what = f"remove network {step.network.name}"
        case CreateVolume():
            what = f"create volume {step.volume.name}"
        case Stop():
            what = f"stop {step.container.service} {step.container.id[:12]}"
        case Remove():
            what = f"remove {step.container.service} {step.container.id[:12]}"
        case Create():
            what = f"create {step.container.service}"
        case Start():
            what = f"start {step.container.service} {step.container.id[:12]}"
        case _:
            assert_never(step)
    return f"{what}: {step.cause}"
