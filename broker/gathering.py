"""paho's client with what it reads and writes gathered: a few large pieces in place of a byte or a packet at a time.

paho reads a packet in four calls, three of them for a byte, and writes each answer by itself. Over TLS that was half of
what a message cost the cloud. Whoever drives the client looks at `has_read` beside the socket, and calls `flush`.
"""

from __future__ import annotations

from typing import Any

import paho.mqtt.client as mqtt

PIECE = 64 * 1024
DISCONNECT = 0xE0  # MQTT 5 section 3.14: paho closes the socket behind it


class GatheringClient(mqtt.Client):
    """Owns what is read and not yet taken, and what is to be written."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._read = b""
        self._taken = 0
        self._unsent = bytearray()

    @property
    def has_read(self) -> bool:
        """Whether bytes wait here that no poll of the socket can see."""
        return self._taken < len(self._read)

    @property
    def has_unsent(self) -> bool:
        return bool(self._unsent)

    def flush(self) -> None:
        """Write as much as the socket takes now. Raises `OSError` where the connection is gone."""
        while self._unsent:
            try:
                del self._unsent[: super()._sock_send(self._unsent)]
            except BlockingIOError:
                return

    def _sock_recv(self, bufsize: int) -> bytes:
        if not self.has_read:
            if bufsize >= PIECE:
                return super()._sock_recv(bufsize)
            self._read, self._taken = super()._sock_recv(PIECE), 0
        piece = self._read[self._taken : self._taken + bufsize]
        self._taken += len(piece)
        return piece

    def _sock_send(self, buf: bytes | bytearray) -> int:
        if buf[0] & 0xF0 == DISCONNECT:
            self.flush()
            return super()._sock_send(buf)
        self._unsent += buf
        return len(buf)
