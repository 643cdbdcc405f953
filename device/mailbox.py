"""The newest-wins slot between the inbox and reconcile: a slow device skips stale wishes."""

from __future__ import annotations

import threading

from broker.messages import DesiredState


class Mailbox:
    """Holds the newest accepted desired state; anything may poke the reader to look again."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._desired: DesiredState | None = None
        self._poked = threading.Event()

    def put(self, desired: DesiredState) -> None:
        with self._lock:
            self._desired = desired
        self._poked.set()

    @property
    def newest(self) -> DesiredState | None:
        with self._lock:
            return self._desired

    def poke(self) -> None:
        """Wake the reader: something outside the desired state changed."""
        self._poked.set()

    def wait(self, timeout_s: float) -> None:
        """Return when something was put or poked since the last wait, or after `timeout_s`."""
        self._poked.wait(timeout_s)
        self._poked.clear()
