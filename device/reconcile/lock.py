"""The update lock: an app says that it must not be disturbed now. It delays a switch, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class HeldLock:
    """A lock as it stands: who holds it, why, and for how long at most it still counts."""

    owner: str
    reason: str
    remaining_s: float


class Locks:
    """The locks that count: those that are held and were not broken by request."""

    def __init__(self, lock_of: Callable[[str], HeldLock | None]) -> None:
        self._lock_of = lock_of
        self._broken: dict[str, str] = {}  # by instance: whose lock does not count any more

    def of(self, instance: str) -> HeldLock | None:
        """Return the lock that holds up an app's switch. One that was let go counts anew when it is taken again."""
        held = self._lock_of(instance)
        if held is None or held.remaining_s <= 0:
            self._broken.pop(instance, None)
            return None
        return None if self._broken.get(instance) == held.owner else held

    def unlock(self, instance: str) -> tuple[bool, str]:
        """Let the lock that an app holds now count no more; return whether there was one, and a sentence."""
        held = self.of(instance)
        if held is None:
            return False, "no update lock is held"
        self._broken[instance] = held.owner
        return True, f"the lock of {held.owner} does not count any more"
