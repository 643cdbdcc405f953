"""How a watched deployment ended: its exit code and the last line. Pure."""

from __future__ import annotations

from cloud.cli import exits
from cloud.cli.verdict import named
from cloud.cli.wait import Waited

OUTCOMES = {exits.OK: "converged", exits.FAILED: "failed", exits.TIMED_OUT: "timed_out"}


def ending(waited: Waited) -> tuple[int, str]:
    """Return the exit code and what to tell. A failure counts more than that time was up."""
    verdict = waited.verdict
    follow = _follow(verdict.unreachable)
    if verdict.failed:
        where = (
            f"failed on {named(verdict.failed)}; see: skerry why {verdict.failed[0]} {waited.deployment.app}".rstrip()
        )
        return exits.FAILED, "; ".join(part for part in (where, follow) if part)
    if verdict.superseded and not waited.timed_out:
        return exits.FAILED, f"superseded by a newer deployment on {named(verdict.superseded)}"
    if waited.timed_out:
        busy = f"still on the way: {named(verdict.going)}" if verdict.going else ""
        return exits.TIMED_OUT, "; ".join(part for part in ("timed out", busy, follow) if part)
    if not waited.deployment.devices:
        return exits.OK, f"no device is in fleet {waited.deployment.fleet} yet; those that join it will run this"
    return exits.OK, "; ".join(part for part in ("all reachable devices converged", follow) if part)


def _follow(unreachable: tuple[str, ...]) -> str:
    if not unreachable:
        return ""
    if len(unreachable) == 1:
        return f"1 device not reachable ({unreachable[0]}): it will follow when it comes"
    return f"{len(unreachable)} devices not reachable ({named(unreachable)}): they will follow when they come"
