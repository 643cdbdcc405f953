"""What watchers of the live feed see of a turn, made only where somebody watches."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from broker.errors import Passing
from broker.ids import DeviceRef
from cloud import device_view
from cloud.ingest.turn import Seen
from cloud.live import Feed
from cloud.store import devices
from cloud.store.database import Database

log = logging.getLogger(__name__)


class Shown:
    """Hands changes on to the feed."""

    def __init__(self, database: Database, feed: Feed) -> None:
        self._database = database
        self._feed = feed

    def changed(self, refs: Sequence[DeviceRef]) -> None:
        """Show devices as they are now."""
        watched = [ref for ref in refs if self._feed.watched(ref.org)]
        if not watched:
            return
        try:
            with self._database.read() as tx:
                found = [devices.get(tx, ref.org, ref.device) for ref in watched]
                views = [(device.org, device_view.one(tx, device)) for device in found if device is not None]
        except Passing as error:
            log.warning("the live feed misses a change: %s", error)
            return
        for org, view in views:
            self._feed.publish(org, "device", view)

    def seen(self, seen: Seen) -> None:
        self._feed.publish(seen.device.org, seen.type, seen.data)
