"""What a command finds around it: environment, logins, clock. Made once, in main, and passed in."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from broker.clock import Clock, SystemClock
from cloud.cli.credentials import DEFAULT_NAME

if TYPE_CHECKING:
    import httpx

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
AsJsonLines = Annotated[bool, typer.Option("--json", help="Print JSON; one document a line while following.")]


@dataclass(frozen=True)
class Surroundings:
    """Everything a command may reach. `transport` takes the place of the network in tests, `pause` that of waiting.

    `machine` is the processor of this machine, as the kernel calls it.
    """

    variables: Mapping[str, str]
    home: Path
    login: str = DEFAULT_NAME
    machine: str = field(default_factory=platform.machine)
    clock: Clock = field(default_factory=SystemClock)
    pause: Callable[[float], None] = time.sleep
    transport: httpx.BaseTransport | None = None


def around(context: typer.Context) -> Surroundings:
    """Return the surroundings that main gave to this run."""
    found = context.obj
    assert isinstance(found, Surroundings)
    return found
