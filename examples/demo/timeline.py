"""What a person sees: each step with its time as it happens, and one JSON object at the end for machines."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console


class Timeline:
    """Prints steps to one console and remembers them."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()
        self.steps: list[dict[str, str | float]] = []

    @contextmanager
    def step(self, name: str, sentence: str) -> Iterator[None]:
        """Show a step while it runs, and its time when it is done."""
        at = time.monotonic()
        self._console.print(f"[dim]{at - self._began:6.1f} s[/dim]  [bold]{sentence}[/bold]", highlight=False)
        try:
            yield
        except BaseException:
            self._console.print(f"          [red]failed after {time.monotonic() - at:.1f} s[/red]")
            raise
        seconds = round(time.monotonic() - at, 2)
        self.steps.append({"name": name, "seconds": seconds})
        self._console.print(f"          [green]done[/green] in {seconds:.1f} s", highlight=False)

    def say(self, text: str) -> None:
        """Show a fact of the running step."""
        self._console.print(f"          {text}", highlight=False, markup=False)
