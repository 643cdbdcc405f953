"""A TCP proxy that counts what comes down and resets all its connections after so many bytes, again and again."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable

CHUNK = 32 * 1024


class CuttingProxy:
    """Between a client and `target`. `next_cut()` says after how many further bytes the link is cut; None: never.

    `at_cut(number)` is called when a cut has come, before any new connection is let through; it may take its time.
    """

    def __init__(
        self,
        target: int,
        *,
        bytes_per_s: float,
        next_cut: Callable[[], int | None],
        at_cut: Callable[[int], None] = lambda number: None,
    ) -> None:
        self._target = target
        self._bytes_per_s = bytes_per_s
        self._next_cut = next_cut
        self._at_cut = at_cut
        self._lock = threading.Lock()
        self._links: list[tuple[socket.socket, socket.socket]] = []
        self._open = threading.Event()
        self._open.set()
        self._closing = False
        self.down_bytes = 0
        self.cuts = 0
        self._left = next_cut()
        self._free_at = time.monotonic()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._closing = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._reset_all()
        self._open.set()

    def _accept(self) -> None:
        while not self._closing:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._open.wait()
            try:
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                client.close()
                continue
            with self._lock:
                self._links.append((client, server))
            threading.Thread(target=self._up, args=(client, server), daemon=True).start()
            threading.Thread(target=self._down, args=(server, client), daemon=True).start()

    def _up(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(CHUNK):
                server.sendall(data)
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_WR)

    def _down(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(CHUNK):
                self._wait_for_the_rate(len(data))
                client.sendall(data)
                if self._is_cut(len(data)):
                    return
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_WR)

    def _wait_for_the_rate(self, size: int) -> None:
        """All connections share one link."""
        with self._lock:
            self._free_at = max(self._free_at, time.monotonic()) + size / self._bytes_per_s
            wait_s = self._free_at - time.monotonic()
        time.sleep(max(0.0, wait_s))

    def _is_cut(self, size: int) -> bool:
        with self._lock:
            self.down_bytes += size
            if self._left is None:
                return False
            self._left -= size
            if self._left > 0:
                return False
            self.cuts += 1
            number = self.cuts
            self._left = self._next_cut()
            self._open.clear()
        self._reset_all()
        threading.Thread(target=self._after, args=(number,), daemon=True).start()
        return True

    def _after(self, number: int) -> None:
        try:
            self._at_cut(number)
        finally:
            self._open.set()

    def _reset_all(self) -> None:
        with self._lock:
            links, self._links = self._links, []
        for client, server in links:
            with contextlib.suppress(OSError):
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.shutdown(socket.SHUT_RD)  # wakes our own thread that reads, and sends nothing
            for each in (client, server):
                with contextlib.suppress(OSError):
                    each.close()
