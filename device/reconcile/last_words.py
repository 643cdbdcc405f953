"""The last lines of what failed: what a person asks for next."""

from __future__ import annotations

from broker.errors import Passing, Refused
from device.engine.port import Engine
from device.reconcile.health import Verdict

LINES_MAX = 10  # of each service that failed
CHARS_MAX = 1800  # a message of a status holds 2,000


def with_last_words(verdict: Verdict, engine: Engine) -> str:
    """Return a verdict's message with the last lines of each service that ended, fell or is ill."""
    words = [verdict.message]
    for status in verdict.services:
        failed = status.health == "unhealthy" or status.state in ("exited", "restarting") or status.restarts > 0
        if status.container and failed:
            try:
                lines = engine.last_lines(status.container, LINES_MAX)
            except (Passing, Refused) as error:
                lines = [f"(no log: {error})"]
            words += [f"{status.name}: {text}" for text in lines]
    return "\n".join(words)[:CHARS_MAX]
