"""Waiting until devices have answered commands, or until nobody will any more. Link drops are waited through."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from broker.clock import Clock
from broker.errors import Passing
from cloud.cli.answers import Command, Commands
from cloud.cli.client import Client
from cloud.cli.command_text import is_open, progress_line

POLL_S = 0.5  # at first
POLL_S_MAX = 5.0
PATIENCE_S = 2.0  # what is answered sooner needs no sign of life
GRACE_S = 60.0  # for what was sent in time: to begin, to be done, to be answered


def wait_for_answers(
    client: Client,
    ordered: Commands,
    *,
    clock: Clock,
    pause: Callable[[float], None],
    tell: Callable[[str], None],
) -> Commands:
    """Return the commands of the request when all are ended, or when it is time to go.

    `tell` gets a line for each command that is not ended after two seconds, and for each change of one.
    """
    began = clock.monotonic()
    latest = max((one.until_ms or 0) - (one.created_ms or 0) for one in ordered.commands) / 1000
    seen, told = ordered, dict[str, str]()
    while True:
        waited_s = clock.monotonic() - began
        if not any(is_open(one) for one in seen.commands) or waited_s > latest + GRACE_S:
            return seen
        if waited_s >= PATIENCE_S:
            _tell(seen.commands, told, tell)
        pause(min(POLL_S_MAX, POLL_S + waited_s / 20))
        try:
            seen = client.get("/v1/commands", Commands, request=ordered.request, limit=10_000)
        except Passing:
            continue  # the answers are kept in the cloud: later will do


def _tell(found: Sequence[Command], told: dict[str, str], tell: Callable[[str], None]) -> None:
    for one in found:
        line = progress_line(one)
        if told.get(one.command) != line and (is_open(one) or one.command in told):
            told[one.command] = line
            tell(line)
