"""Looks at the engine as little as will do: one list call where nothing happened, more where something did."""

from __future__ import annotations

from collections.abc import Callable

from broker.appspec import Healthcheck
from broker.clock import Clock
from device.engine.port import Container, Details, Engine, EngineRefused, NetworkSeen, Observed
from device.reconcile.facts import Snapshot
from device.reconcile.runs import Runs


class Looks:
    """The reconcile thread's eyes. Networks and volumes are listed at first, and after anything may have changed."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._resources: tuple[tuple[NetworkSeen, ...], frozenset[str]] | None = None
        self._looked_at: float | None = None
        self._was_away = False
        self.runs = Runs()

    def changed(self) -> None:
        """Forget what was listed: an event came, or a plan was carried out."""
        self._resources = None

    def look(self, *, closely: Callable[[Container], bool]) -> tuple[Snapshot, float]:
        """Return a snapshot, and for how long the engine had shown nothing before it.

        `closely` are containers to be inspected even where the list shows no change of them.
        """
        containers = self._engine.containers()
        if self._resources is None:
            self._resources = self._engine.resources()
        networks, volumes = self._resources
        now = self._clock.monotonic()
        containers, runs = self.runs.look(containers, self._details, now=now, closely=closely)
        away_s = now - self._looked_at if self._was_away and self._looked_at is not None else 0.0
        self._looked_at, self._was_away = now, False
        return Snapshot(Observed(containers, networks, volumes), runs, now), away_s

    def failed(self) -> None:
        """Note that the engine did not answer: time stands still for judgements until it does."""
        self._was_away = True
        self._resources = None

    def image_check(self, image: str) -> Healthcheck | None:
        """Return the check an image brings along; none is known of one that is not here."""
        try:
            return self._engine.image_healthcheck(image)
        except EngineRefused:
            return None

    def _details(self, container_id: str) -> Details | None:
        try:
            return self._engine.details(container_id)
        except EngineRefused:
            return None  # gone between the list and this
