"""A socket in front of a real engine that can answer errors, break answers off, keep silent, or not be there."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PIECE = 64 * 1024


class EngineProxy:
    """Passes connections on until it is told to do something else with requests whose first line holds a text."""

    def __init__(self, path: Path, target: str) -> None:
        self.url = f"unix://{path}"
        self._path, self._target = path, target
        self._faults: dict[str, bytes | int] = {}
        self._links: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None

    def up(self) -> None:
        self._path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self._path))
        self._listener.listen()
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def down(self) -> None:
        """End as an engine that is killed does: no socket, and every connection broken."""
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        self._path.unlink(missing_ok=True)
        with self._lock:
            links, self._links = self._links, set()
        for link in links:
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)

    def answer(self, what: str, status: int) -> None:
        """Answer requests for `what` with an error."""
        body = b'{"message":"planted"}'
        head = f"HTTP/1.1 {status} Planted\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self._faults[what] = head.encode() + body

    def cut(self, what: str, after: int) -> None:
        """Pass on so many bytes of the answer to `what`, then break it off."""
        self._faults[what] = after

    def heal(self) -> None:
        self._faults.clear()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                link, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(link,), daemon=True).start()

    def _serve(self, link: socket.socket) -> None:
        """Serve one connection. Each request is looked at, so it is told anew that it is the last one."""
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as engine, link:
            first = link.recv(PIECE)
            fault = next(
                (fault for what, fault in self._faults.items() if what.encode() in first.split(b"\r\n")[0]), None
            )
            if isinstance(fault, bytes):
                link.sendall(fault)
                return
            engine.connect(self._target)
            with self._lock:
                self._links |= {link, engine}
            engine.sendall(first.replace(b"\r\nConnection: keep-alive", b"\r\nConnection: close"))
            threading.Thread(target=_pass_on, args=(link, engine, None), daemon=True).start()
            _pass_on(engine, link, fault)
            with self._lock:
                self._links -= {link, engine}


def _pass_on(source: socket.socket, sink: socket.socket, at_most: int | None) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(PIECE if at_most is None else max(1, min(PIECE, at_most))):
            if at_most is not None and (at_most := at_most - len(data)) < 0:
                break
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR if at_most is not None else socket.SHUT_WR)


@contextmanager
def engine_proxy(folder: Path, target: str) -> Iterator[EngineProxy]:
    proxy = EngineProxy(folder / "engine.sock", target.removeprefix("unix://"))
    proxy.up()
    try:
        yield proxy
    finally:
        proxy.down()
