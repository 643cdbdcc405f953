"""Whether a message is really its device's: the device exists, is not deleted, and the MAC under its key holds."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from broker.clock import Clock
from broker.codec import open_sealed
from broker.errors import Refused
from broker.ids import DeviceRef
from broker.signing import MacKey
from cloud.ingest.inbox import Received
from cloud.keys import Keys
from cloud.store import devices
from cloud.store.database import Database

KEYS_MAX = 100_000
UNKNOWN_FOR_S = 10.0  # so long an unknown device costs no query; one that was just enrolled is told to us


class Verifiers:
    """Remembers the keys of devices. Used by the worker's thread; `enrolled` may come from any."""

    def __init__(self, database: Database, keys: Keys, clock: Clock) -> None:
        self._database = database
        self._keys = keys
        self._clock = clock
        self._known: OrderedDict[DeviceRef, MacKey] = OrderedDict()
        self._unknown: dict[DeviceRef, float] = {}
        self._revoked: set[DeviceRef] = set()

    def open(self, received: Received) -> Any:
        """Return the message, checked and validated; raise `Refused` otherwise (`unknown_device`: an orphan)."""
        key = self.key(received.device)
        return open_sealed(received.channel, received.device, received.payload, key).message

    def key(self, device: DeviceRef) -> MacKey:
        """Return the key of an existing device."""
        if device in self._revoked:
            raise _orphan(device)
        known = self._known.get(device)
        if known is not None:
            self._known.move_to_end(device)
            return known
        now = self._clock.monotonic()
        if now < self._unknown.get(device, 0.0):
            raise _orphan(device)
        with self._database.read() as tx:
            row = devices.get(tx, device.org, device.device)
        if row is None:
            if len(self._unknown) >= KEYS_MAX:
                self._unknown.clear()
            self._unknown[device] = now + UNKNOWN_FOR_S
            raise _orphan(device)
        key = self._keys.mac(device, row.key_number)
        self._known[device] = key
        if len(self._known) > KEYS_MAX:
            self._known.popitem(last=False)
        return key

    def enrolled(self, device: DeviceRef) -> None:
        self._unknown.pop(device, None)
        self._known.pop(device, None)  # another machine took its place, with another key

    def revoked(self, device: DeviceRef) -> None:
        self._revoked.add(device)  # and not taken off what is known: a query may just be putting it there


def _orphan(device: DeviceRef) -> Refused:
    return Refused("unknown_device", f"{device} has a certificate of ours, but there is no such device")
