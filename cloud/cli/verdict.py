"""What `deploy --wait` makes of the states of its devices. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cloud.cli.answers import Target
from cloud.cli.render import printable

CONVERGED = "converged"
FAILED = "failed"
SUPERSEDED = "superseded"
ENDED = (CONVERGED, FAILED, SUPERSEDED)


@dataclass(frozen=True)
class Verdict:
    """`outcome` is `going` while a device that can be reached is on its way, or none has got there yet.

    `unreachable` are devices that are offline and have not ended: they follow when they come. `superseded` ones run,
    or will run, what a newer deployment asks for.
    """

    outcome: Literal["going", "converged", "failed"]
    going: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    unreachable: tuple[str, ...] = ()
    superseded: tuple[str, ...] = ()


def judged(targets: Sequence[Target]) -> Verdict:
    """Return the verdict on a deployment to `targets`; one to no device at all has converged."""
    failed = tuple(target.label for target in targets if target.state == FAILED)
    superseded = tuple(target.label for target in targets if target.state == SUPERSEDED)
    open_ = [target for target in targets if target.state not in ENDED]
    going = tuple(target.label for target in open_ if target.online)
    unreachable = tuple(target.label for target in open_ if not target.online)
    if going or (unreachable and len(unreachable) == len(targets)):
        return Verdict("going", going, failed, unreachable, superseded)
    return Verdict("failed" if failed or superseded else "converged", going, failed, unreachable, superseded)


def changed(before: Sequence[Target], after: Sequence[Target]) -> list[str]:
    """Return a line for each device whose state or reach is another than before."""
    known = {target.device: _line(target) for target in before}
    lines = [(target.device, _line(target)) for target in after]
    return [line for device, line in lines if known.get(device) != line]


def _line(target: Target) -> str:
    message = f": {target.message}" if target.message else ""
    reach = "" if target.online or target.state in ENDED else " (not reachable)"
    phase = f" {target.phase}" if target.phase else ""
    return printable(f"{target.label}  {target.state}{phase}{message}{reach}")


def named(names: Sequence[str], some: int = 5) -> str:
    """Return some of the names, and how many more there are."""
    more = f" and {len(names) - some} more" if len(names) > some else ""
    return ", ".join(names[:some]) + more
