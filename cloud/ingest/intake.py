"""The batches of one turn on their way into the store: cursors are read and written once, rows go in together."""

from __future__ import annotations

from collections.abc import Collection

from broker.messages import Batch
from cloud.store import batches, cursors
from cloud.store.cursors import Cursor
from cloud.store.database import Connection

Place = tuple[str, str, int]  # device, stream, epoch


class Intake:
    """Holds what a turn has not written yet. `flush` writes it; nothing of it is true before the commit."""

    def __init__(self, tx: Connection, *, now_ms: int) -> None:
        self._tx = tx
        self._now_ms = now_ms
        self._cursors: dict[Place, Cursor] = {}
        self._changed: set[Place] = set()
        self._rows: list[tuple[str, Batch]] = []

    def cursor(self, place: Place) -> Cursor | None:
        """Return what is held of a place, this turn's batches among it."""
        known = self._cursors.get(place) or cursors.get(self._tx, *place)
        if known is None:
            known = cursors.unfold(self._tx, *place, now_ms=self._now_ms)
        if known is not None:
            self._cursors[place] = known
        return known

    def look_up(self, places: Collection[Place]) -> None:
        """Read what is held of many places at once: those that the turn will ask for."""
        for cursor in cursors.of_places(self._tx, places) if places else ():
            self._cursors[(cursor.device, cursor.stream, cursor.epoch)] = cursor

    def put(self, cursor: Cursor) -> None:
        place = (cursor.device, cursor.stream, cursor.epoch)
        self._cursors[place] = cursor
        self._changed.add(place)

    def add(self, device: str, batch: Batch) -> None:
        self._rows.append((device, batch))

    def flush(self) -> None:
        """Write everything: call before a query that must see it, and at the end of the turn."""
        batches.add(self._tx, self._rows, now_ms=self._now_ms)
        self._rows = []
        cursors.put_all(self._tx, [self._cursors[place] for place in sorted(self._changed)], now_ms=self._now_ms)
        self._changed.clear()
