"""How a service starts, is judged, ends and is replaced. Part of the AppSpec; pure."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from broker.appspec_values import Count, Millis, Spec, Text, TextMap, Texts, later


class Healthcheck(Spec):
    """The command that tells whether a service works: `test` as the engine takes it, e.g. `["CMD", "/bin/true"]`."""

    test: Texts
    interval_ms: Millis = 30_000
    timeout_ms: Millis = 30_000
    start_period_ms: Millis = 0
    start_interval_ms: Millis | None = later(None)  # API 1.44; an older engine goes by the interval
    retries: Annotated[int, Field(ge=0, le=1000)] = 3


class Dependency(Spec):
    """What must hold of another service before this one starts."""

    condition: Literal["service_started", "service_healthy", "service_completed_successfully"] = "service_started"
    required: bool = True
    restart: bool = False


class Restart(Spec):
    """What the engine does when the service's process ends."""

    policy: Literal["no", "always", "on-failure", "unless-stopped"] = "no"
    retries: Annotated[int, Field(ge=0, le=10_000)] = 0


class Switch(Spec):
    """How a service goes to another release, or back: Compose's `update_config` and `rollback_config`.

    What fails goes back where the file does not say otherwise: nobody may be there to see that it stands still.
    """

    order: Literal["stop-first", "start-first"] = "stop-first"
    parallelism: Count = 1
    delay_ms: Millis = 0
    failure_action: Literal["pause", "continue", "rollback"] = "rollback"
    monitor_ms: Millis = 5_000
    max_failure_ppm: Annotated[int, Field(ge=0, le=1_000_000)] = 0  # parts in a million: a ratio without fractions


class Hook(Spec):
    """A command that runs inside of a container, right after its start or right before its stop."""

    command: Annotated[Texts, Field(min_length=1)]
    user: Text = later("")
    privileged: bool = later(False)
    working_dir: Text = later("")
    environment: TextMap = later({})
