"""Typed sending: every message that leaves is counted, authenticated for its channel and handed to the session."""

from __future__ import annotations

import threading
from collections.abc import Callable

from broker.channels import PRESENCE, Channel
from broker.codec import seal
from broker.ids import DeviceRef
from broker.messages import Conn, Message, Will
from broker.signing import MacKey
from broker.transport import Done, Publication, Transport

Make = Callable[[Conn, int], Message]


class Uplink:
    """Sends for one device. Any thread may call; what cannot go now is kept by its owner and tried again."""

    def __init__(self, *, device: DeviceRef, mac: MacKey) -> None:
        self._device = device
        self._mac = mac
        self._lock = threading.Lock()
        self._transport: Transport | None = None
        self._conn: Conn | None = None
        self._n = 0

    def attach(self, transport: Transport) -> None:
        """Say which session carries; called once by the composition root."""
        self._transport = transport

    def open(self, conn: Conn) -> Publication:
        """Begin a connection: counters start anew. Returns its will."""
        with self._lock:
            self._conn, self._n = conn, 0
        sealed = seal(PRESENCE, self._device, Will(conn=conn), self._mac)
        return Publication(PRESENCE.topic(self._device), sealed, qos=1, retain=True)

    @property
    def conn(self) -> Conn | None:
        return self._conn

    @property
    def connected(self) -> bool:
        return self._transport is not None and self._transport.connected

    def reconnect(self) -> None:
        if self._transport is not None:
            self._transport.reconnect()

    def sealed(self, channel: Channel, make: Make) -> bytes | None:
        """Return a message of the newest connection that is carried otherwise; None before there was any."""
        with self._lock:
            if self._conn is None:
                return None
            self._n += 1
            return seal(channel, self._device, make(self._conn, self._n), self._mac)

    def send(self, channel: Channel, make: Make, *, retain: bool = False, done: Done | None = None) -> bool:
        """Send what `make(conn, n)` returns; False when there is no connection or its queue is full.

        Raises `Refused` (`too_large`) when the message does not fit its channel: the caller must send less.
        """
        with self._lock:
            conn, transport = self._conn, self._transport
            if conn is None or transport is None or not transport.connected:
                return False
            self._n += 1
            sealed = seal(channel, self._device, make(conn, self._n), self._mac)
            # Queued inside the lock, which costs no I/O: so numbers leave in their order.
            return transport.publish(Publication(channel.topic(self._device), sealed, channel.qos, retain), done)
