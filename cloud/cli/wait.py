"""Watching a deployment until it is decided, or time is up. Link drops in between are waited through."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from broker.clock import Clock
from broker.errors import Passing
from cloud.cli.answers import Deployment, Target
from cloud.cli.client import Client
from cloud.cli.verdict import Verdict, changed, judged

POLL_S = 1.0


@dataclass(frozen=True)
class Waited:
    """The last that was seen of a deployment, and whether time was up before it was decided."""

    deployment: Deployment
    verdict: Verdict
    timed_out: bool


def wait(
    client: Client,
    deployment: str,
    *,
    timeout_s: float,
    clock: Clock,
    pause: Callable[[float], None],
    tell: Callable[[str], None],
    show: Callable[[Sequence[Target]], None] = lambda targets: None,
) -> Waited:
    """Return when the deployment is decided or time is up; `tell` gets a line for each change, `show` what there is.

    Raises `Passing` when the cloud answers not even once in that time.
    """
    until = clock.monotonic() + timeout_s
    seen: Deployment | None = None
    while True:
        found = seen
        try:
            found = client.get(f"/v1/deployments/{quote(deployment, safe='')}", Deployment)
        except Passing:
            if seen is None and clock.monotonic() >= until:
                raise
        if found is not None:
            for line in changed(seen.devices if seen else (), found.devices):
                tell(line)
            show(found.devices)
            seen = found
            verdict = judged(found.devices)
            if verdict.outcome != "going" or clock.monotonic() >= until:
                return Waited(found, verdict, timed_out=verdict.outcome == "going")
        pause(max(0.0, min(POLL_S, until - clock.monotonic())))
