"""Names of connections: the boot id, and a count that grows within a boot over restarts of the worker.

The count is the machine's uptime in milliseconds, which needs no file: a full disk cannot keep a device from
connecting, and a reconnect costs no write.
"""

from __future__ import annotations

from collections.abc import Callable

from broker.messages import Conn


class Connections:
    """Hands out connection names; the session's thread owns it."""

    def __init__(self, *, boot: str, uptime_ms: Callable[[], int]) -> None:
        self._boot = boot
        self._uptime_ms = uptime_ms
        self._count = 0

    def next(self) -> Conn:
        """Return a name that is newer than every earlier one of this boot."""
        self._count = max(self._count + 1, self._uptime_ms())
        return Conn(boot=self._boot, count=self._count)
