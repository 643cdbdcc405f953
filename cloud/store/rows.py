"""Rows as plain values, for code that decides about them: nothing here reaches the database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Instance:
    """Which release of an app runs in a fleet, with which variables; `attempt` grows to have it tried again.

    `settings` are ours, not the app's: `force` makes its update lock not count. `grants` are rows of owners' policies.
    """

    instance: str
    org: str
    app: str
    fleet: str
    release: str
    variables: Mapping[str, str]
    attempt: int
    settings: Mapping[str, Any]
    grants: Mapping[str, Any]


@dataclass(frozen=True)
class Target:
    """One device of a deployment, and the digest its section has there.

    `generation` is None before it was issued, and 0 when a newer deployment was issued in its place.
    """

    device: str
    era: int | None
    generation: int | None
    section: str
