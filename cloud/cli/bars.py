"""`deploy --wait` on a terminal: a bar for each device that is on its way, under the lines of what has changed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from broker.errors import SkerryError
from cloud.cli.answers import Target
from cloud.cli.client import Client
from cloud.cli.event_stream import follow
from cloud.cli.progress import size
from cloud.cli.render import printable
from cloud.cli.verdict import ENDED

BARS_MAX = 16  # of devices on their way; further ones are counted
BAR_CHARS = 30
LABEL_CHARS = 40


@dataclass(frozen=True)
class Moved:
    """How far a device's transfer is, in bytes, and how many more it would be without patches."""

    done: int
    total: int
    saved: int = 0


@dataclass(frozen=True)
class Row:
    """What one line shows. `moved` None: nothing is known to move."""

    label: str
    state: str
    moved: Moved | None


def rows(targets: Sequence[Target], moved: Mapping[str, Moved]) -> tuple[list[Row], str]:
    """Return the devices that can be reached and are on their way, and a line on all of them. Pure."""
    going = [target for target in targets if target.state not in ENDED and target.online]
    shown = [
        Row(printable(one.label)[:LABEL_CHARS], _state(one), moved.get(one.device) if one.phase == "Fetching" else None)
        for one in going[:BARS_MAX]
    ]
    done = sum(target.state == "converged" for target in targets)
    away = sum(target.state not in ENDED and not target.online for target in targets)
    parts = [f"{done} of {len(targets)} converged"]
    parts += [f"{len(going) - len(shown)} more on their way"] if len(going) > len(shown) else []
    parts += [f"{away} not reachable"] if away else []
    return shown, ", ".join(parts)


def _state(target: Target) -> str:
    return printable(f"{target.state} {target.phase}".strip())


class Bars:
    """Shows the newest that it was told; any thread may tell."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._lock = threading.Lock()
        self._targets: Sequence[Target] = ()
        self._moved: dict[str, Moved] = {}

    def show(self, targets: Sequence[Target]) -> None:
        with self._lock:
            self._targets = targets
        self._draw()

    def moved(self, device: str, moved: Moved) -> None:
        with self._lock:
            self._moved[device] = moved
        self._draw()

    def tell(self, line: str) -> None:
        """Say a line that stays, above the bars."""
        self._live.console.print(Text(line))

    def _draw(self) -> None:
        with self._lock:
            shown, summary = rows(self._targets, self._moved)
        self._live.update(drawn(shown, summary))


def drawn(shown: Sequence[Row], summary: str) -> RenderableType:
    """Return rows as rich shows them."""
    grid = Table.grid(padding=(0, 2))
    for row in shown:
        moved = row.moved
        bar = ProgressBar(
            total=moved.total if moved else None, completed=moved.done if moved else 0, width=BAR_CHARS, pulse=not moved
        )
        figures = f"{size(moved.done)} of {size(moved.total)}" if moved else ""
        figures += f", {size(moved.saved)} saved by patches" if moved and moved.saved else ""
        grid.add_row(Text(row.label), bar, Text(f"{figures}  {row.state}".strip()))
    return Group(grid, Text(summary)) if shown else Text(summary)


@contextmanager
def bars(client: Client, instance: str) -> Iterator[Bars]:
    """Yield bars on standard error, which follow the transfers of an app's instance as the cloud tells of them."""
    over = threading.Event()
    with Live(console=Console(stderr=True, highlight=False), refresh_per_second=8, transient=True) as live:
        made = Bars(live)
        thread = threading.Thread(
            target=follow_transfers, args=(client, instance, made.moved, over), name="progress", daemon=True
        )
        thread.start()
        try:
            yield made
        finally:
            over.set()


def follow_transfers(client: Client, instance: str, moved: Callable[[str, Moved], None], over: threading.Event) -> None:
    """Tell how far devices are with an app's instance, until `over` or the cloud does not let us watch."""

    def pause(seconds: float) -> None:
        over.wait(seconds)

    try:
        for event in follow(client, pause=pause, lost=lambda why: None):
            if over.is_set():
                return
            told = event.document() if event.type == "progress" else {}
            done, total, saved = told.get("done"), told.get("total"), told.get("saved")
            if told.get("instance") == instance and isinstance(done, int) and isinstance(total, int):
                moved(str(told.get("device")), Moved(done, total, saved if isinstance(saved, int) else 0))
    except SkerryError:
        return  # bars without figures: the states come another way
