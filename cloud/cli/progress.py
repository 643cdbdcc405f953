"""What a person sees while images are built and pushed: nothing for two seconds, then how far it is."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from broker.clock import Clock
from cloud.cli.render import note, printable
from compose.local_engine import Progress, Report

PATIENCE_S = 2.0
TEXT_CHARS = 60
_UNIT = 1024


@contextmanager
def shown_progress(clock: Clock) -> Iterator[Report]:
    """Yield what takes reports: on a terminal one line that changes, elsewhere a line for each new phase."""
    with ExitStack() as stack:
        yield (_Terminal(clock, stack) if sys.stderr.isatty() else _Lines(clock)).take


class _Lines:
    """For logs: each phase of each service once, as none of them needs to be seen moving."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since = clock.monotonic()
        self._told: tuple[str, str] | None = None

    def take(self, step: Progress) -> None:
        key = (step.service, step.phase)
        if key != self._told and self._clock.monotonic() - self._since >= PATIENCE_S:
            self._told = key
            note(f"{step.phase} {step.service}" if step.phase != "done" else f"{step.service} is in the registry")


class _Terminal:
    """For people: a line that is replaced, with a sign of life."""

    def __init__(self, clock: Clock, stack: ExitStack) -> None:
        self._clock = clock
        self._since = clock.monotonic()
        self._stack = stack
        self._status: Any = None

    def take(self, step: Progress) -> None:
        if self._clock.monotonic() - self._since < PATIENCE_S:
            return
        if self._status is None:
            from rich.console import Console

            console = Console(stderr=True, markup=False, highlight=False)
            self._status = self._stack.enter_context(console.status(""))
        from rich.text import Text

        self._status.update(Text(step_text(step)))


def step_text(step: Progress) -> str:
    """Return one line on a step. Pure."""
    if step.total_bytes:
        share = f"{size(step.done_bytes)} of {size(step.total_bytes)}"
    else:
        share = printable(step.text)[:TEXT_CHARS]
    return f"{step.phase} {step.service}  {share}".rstrip()


def size(count: int) -> str:
    """Return a number of bytes as people read it."""
    value = float(count)
    for unit in ("B", "KiB", "MiB"):
        if value < _UNIT:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= _UNIT
    return f"{value:.1f} GiB"
