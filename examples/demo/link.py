"""The device's link: a TCP relay between the worker and the broker that can be cut, as a real link is."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading


class Link:
    """Relays to one address. While cut, what stands is reset and what comes is turned away."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._cut = threading.Event()
        self._closed = False
        self.turned_away = 0
        self.bytes_passed = 0
        self.bytes_passed_while_cut = 0
        threading.Thread(target=self._accept, name="link", daemon=True).start()

    @property
    def address(self) -> str:
        host, port = self._listener.getsockname()[:2]
        return f"{host}:{port}"

    @property
    def connected(self) -> bool:
        """Whether anything is connected through it."""
        return bool(self._pairs)

    def cut(self) -> None:
        """Break every connection and let none through until `restore`."""
        self._cut.set()
        with self._lock:
            pairs = list(self._pairs)
        for pair in pairs:
            for side in pair:
                _reset(side)

    def restore(self) -> None:
        self._cut.clear()

    def close(self) -> None:
        self._closed = True
        self.cut()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while not self._closed:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self._cut.is_set():
                self.turned_away += 1
                _reset(near)
                continue
            threading.Thread(target=self._relay, args=(near,), name="link-relay", daemon=True).start()

    def _relay(self, near: socket.socket) -> None:
        try:
            far = socket.create_connection(self._target, timeout=5)
        except OSError:
            near.close()
            return
        pair = (near, far)
        with self._lock:
            self._pairs.add(pair)
        with contextlib.suppress(OSError, ValueError):
            self._pump(near, far)
        with self._lock:
            self._pairs.discard(pair)
        near.close()
        far.close()

    def _pump(self, near: socket.socket, far: socket.socket) -> None:
        other = {near: far, far: near}
        while True:
            ready, _, _ = select.select([near, far], [], [], 60.0)
            for source in ready:
                data = source.recv(65536)
                if not data:
                    return
                other[source].sendall(data)
                self.bytes_passed += len(data)
                if self._cut.is_set():
                    self.bytes_passed_while_cut += len(data)


def _reset(sock: socket.socket) -> None:
    """Close with a reset instead of a farewell."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError):
        sock.close()
