"""A supervised thread: it owns one resource, is restarted with backoff when it fails, and gives up loudly."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable

from broker.backoff import Backoff

log = logging.getLogger(__name__)
RESTARTS_MAX = 8  # in a row without a calm minute: by then a restart of the whole process is the better medicine
CALM_S = 60.0


class SupervisedThread:
    """Runs `body(stop)` until `stop` is set; restarts it when it raises; calls `gave_up` after too many failures."""

    def __init__(
        self,
        name: str,
        body: Callable[[threading.Event], None],
        *,
        gave_up: Callable[[str], None],
        backoff: Backoff = Backoff(first_s=0.2, max_s=10.0),
        monotonic: Callable[[], float],
    ) -> None:
        self.name = name
        self.stopping = threading.Event()
        self._body = body
        self._gave_up = gave_up
        self._backoff = backoff
        self._monotonic = monotonic
        self._thread = threading.Thread(target=self._supervise, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ask the body to end; returns at once. Pair with `join`."""
        self.stopping.set()

    def join(self, timeout_s: float) -> bool:
        """Wait for the end; return whether it came."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def _supervise(self) -> None:
        failures = 0
        while not self.stopping.is_set():
            began = self._monotonic()
            try:
                self._body(self.stopping)
                return
            except Exception:  # one of the two edges where anything may arrive: log it, restart, count
                log.exception("thread %s failed", self.name)
            failures = 1 if self._monotonic() - began > CALM_S else failures + 1
            if failures > RESTARTS_MAX:
                self._gave_up(self.name)
                return
            self.stopping.wait(self._backoff.delay_s(failures, random.random()))  # noqa: S311 - spread, not secrecy
