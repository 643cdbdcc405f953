"""Carries out a plan's steps on the engine, in order, without opinions."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from device.engine.port import Engine
from device.reconcile.steps import (
    Create,
    CreateNetwork,
    CreateVolume,
    Pull,
    Remove,
    RemoveNetwork,
    Start,
    Step,
    Stop,
)

TokenFor = Callable[[str], str]
PullProgress = Callable[[str, int, int], None]


def execute(step: Step, engine: Engine, *, token_for: TokenFor, progress: PullProgress) -> None:
    """Do one step. `token_for(image)` gives a registry token, `progress(instance, done, total)` is told of pulls."""
    match step:
        case Pull():
            engine.pull(
                step.image,
                token=token_for(step.image),
                progress=lambda done, total: progress(step.instance, done, total),
            )
        case CreateNetwork():
            engine.create_network(step.network)
        case RemoveNetwork():
            engine.remove_network(step.network)
        case CreateVolume():
            engine.create_volume(step.volume)
        case Stop():
            engine.stop(step.container.id, grace_s=step.grace_s)
        case Remove():
            engine.remove(step.container.id)
        case Create():
            engine.create(step.container)
        case Start():
            engine.start(step.container.id)
        case _:
            assert_never(step)
