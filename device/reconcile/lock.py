"""The update lock: an app says that it must not be disturbed now."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class HeldLock:
    """A lock as it stands: who holds it, why, and for how long at most it still counts."""

    owner: str
    reason: str
    remaining_s: float
