"""Carries out one step of a plan on the engine, without opinions."""

from __future__ import annotations

import logging
from typing import assert_never

from broker.errors import Refused
from device.engine.port import Engine, EngineRefused, HookResult
from device.reconcile.steps import (
    Create,
    CreateNetwork,
    CreateVolume,
    Remove,
    RemoveNetwork,
    Rename,
    RunHook,
    SetRestart,
    Start,
    Step,
    Stop,
    reference,
)

log = logging.getLogger(__name__)
HOOK_S = 60.0  # a hook that takes longer is taken for one that hangs
OUTPUT_CHARS = 500


class HookFailed(Refused):
    """A command that must pass did not: the release is a bad one."""

    def __init__(self, step: RunHook, why: str) -> None:
        command = " ".join(step.hook.command)[:100]
        super().__init__("hook_failed", f"service {step.container.service}: the hook {command!r} {why}")


def execute(step: Step, engine: Engine) -> None:
    """Do one step. Raises what the engine raises, and `HookFailed`."""
    match step:
        case CreateNetwork():
            engine.create_network(step.network)
        case RemoveNetwork():
            engine.remove_network(step.network)
        case CreateVolume():
            engine.create_volume(step.volume)
        case Create():
            engine.create(step.container)
        case Start():
            if step.wanted is not None:
                engine.lay_ready(step.wanted)
            engine.start(reference(step.container))
        case RunHook():
            _run_hook(step, engine)
        case SetRestart():
            engine.set_restart(step.container.id, step.wanted.spec.restart)
        case Stop():
            engine.stop(step.container.id, grace_s=step.grace_s)
        case Remove():
            engine.remove(step.container.id)
        case Rename():
            engine.rename(reference(step.container), step.name)
        case _:
            assert_never(step)


def _run_hook(step: RunHook, engine: Engine) -> None:
    why = _failure(step, engine)
    if why and step.must_pass:
        raise HookFailed(step, why)
    if why:
        log.warning("%s %s", step.hook.command[0], why)


def _failure(step: RunHook, engine: Engine) -> str:
    try:
        result: HookResult = engine.run_hook(reference(step.container), step.hook, timeout_s=HOOK_S)
    except EngineRefused as error:
        return f"could not run: {error}"
    if result.exit_code:
        return f"ended with code {result.exit_code}: {result.output[:OUTPUT_CHARS].strip()}"
    return ""
