"""Rows as plain values, for code that decides about them: nothing here reaches the database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Instance:
    """Which release of an app runs in a fleet, with which variables; `attempt` grows to have it tried again."""

    instance: str
    org: str
    app: str
    fleet: str
    release: str
    variables: Mapping[str, str]
    attempt: int


@dataclass(frozen=True)
class Target:
    """One device of a deployment, and the digest its section has there."""

    device: str
    era: int
    generation: int
    section: str
