"""A registry over HTTP that holds blobs and misbehaves as told: one fault for one request, then the next."""

from __future__ import annotations

import contextlib
import http.server
import re
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

Fault = Callable[["Handler", bytes, int, int], None]
"""Called with the request's handler, the blob, and the bytes [start, end) asked for."""

TOKEN = "good"


@dataclass
class FaultyRegistry:
    """What it holds, what it is told to do wrong, and what was asked of it."""

    manifests: Mapping[str, bytes]
    blobs: Mapping[str, bytes]
    port: int = 0
    faults: deque[Fault] = field(default_factory=deque)  # for blobs and manifests alike, one a request
    always: Fault | None = None
    tokens: set[str] = field(default_factory=lambda: {TOKEN})
    is_open: bool = False  # it asks nobody for a token
    shown: list[str] = field(default_factory=list)  # what was shown to it as Authorization
    asked: list[tuple[str, str]] = field(default_factory=list)  # digest, Range
    sent_bytes: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def next_fault(self) -> Fault | None:
        with self.lock:
            return self.faults.popleft() if self.faults else self.always


class Handler(http.server.BaseHTTPRequestHandler):
    registry: FaultyRegistry
    protocol_version = "HTTP/1.1"

    def log_message(self, *unused: object) -> None:
        pass

    def do_GET(self) -> None:
        match = re.fullmatch(r"/v2/(.+)/(manifests|blobs)/(sha256:[0-9a-f]{64})(\?.*)?", self.path)
        assert match is not None, self.path
        registry = self.registry
        data = (registry.manifests if match[2] == "manifests" else registry.blobs).get(match[3])
        asked = self.headers.get("Range", "")
        with registry.lock:
            registry.asked.append((match[3], asked))
            registry.shown.append(self.headers.get("Authorization", ""))
        if not registry.is_open and self.headers.get("Authorization", "") not in {
            f"Bearer {token}" for token in registry.tokens
        }:
            self.answer(401)
            return
        if data is None:
            self.answer(404)
            return
        span = re.fullmatch(r"bytes=(\d+)-(\d+)", asked)
        start, end = (int(span[1]), min(int(span[2]) + 1, len(data))) if span else (0, len(data))
        (registry.next_fault() or well)(self, data, start, end)

    def answer(self, status: int, headers: Mapping[str, str] | None = None, body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | dict(headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.write(body)

    def write(self, body: bytes) -> None:
        self.wfile.write(body)
        with self.registry.lock:
            self.registry.sent_bytes += len(body)

    def reset(self) -> None:
        """End the connection as a cut does: no answer, no end."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RD)
        self.connection.close()

    def part(self, data: bytes, start: int, end: int) -> dict[str, str]:
        return {"Content-Range": f"bytes {start}-{end - 1}/{len(data)}", "Content-Length": str(end - start)}


def well(handler: Handler, data: bytes, start: int, end: int) -> None:
    if "Range" not in handler.headers:
        handler.answer(200, {}, data)
        return
    handler.answer(206, handler.part(data, start, end), data[start:end])


def status(code: int, headers: Mapping[str, str] | None = None) -> Fault:
    def fault(handler: Handler, data: bytes, start: int, end: int) -> None:
        handler.answer(code, headers)

    return fault


def cut_after(count: int) -> Fault:
    """Send `count` bytes of what was asked for, then reset the connection."""

    def fault(handler: Handler, data: bytes, start: int, end: int) -> None:
        handler.answer(206, handler.part(data, start, end), data[start : min(end, start + count)])
        handler.reset()

    return fault


def ends_after(count: int) -> Fault:
    """Send `count` bytes of what was asked for and end properly: every byte is read by the other side."""

    def fault(handler: Handler, data: bytes, start: int, end: int) -> None:
        handler.answer(206, handler.part(data, start, end), data[start : min(end, start + count)])
        handler.close_connection = True

    return fault


def short_by(count: int) -> Fault:
    """Promise all and end the answer properly, `count` bytes early."""

    def fault(handler: Handler, data: bytes, start: int, end: int) -> None:
        handler.answer(206, handler.part(data, start, end), data[start : max(start, end - count)])
        handler.close_connection = True

    return fault


def wrong_bytes(handler: Handler, data: bytes, start: int, end: int) -> None:
    body = bytearray(data[start:end])
    body[len(body) // 2] ^= 1
    handler.answer(206, handler.part(data, start, end), bytes(body))


def wrong_length(handler: Handler, data: bytes, start: int, end: int) -> None:
    longer = data + bytes(100)
    handler.answer(206, handler.part(longer, start, end), data[start:end])


def ignored_range(handler: Handler, data: bytes, start: int, end: int) -> None:
    handler.answer(200, {}, data)


def other_range(handler: Handler, data: bytes, start: int, end: int) -> None:
    handler.answer(206, handler.part(data, 0, max(1, end - start)), data[: max(1, end - start)])


def other_encoding(handler: Handler, data: bytes, start: int, end: int) -> None:
    handler.answer(206, handler.part(data, start, end) | {"Content-Encoding": "gzip"}, data[start:end])


def redirect_to_itself(handler: Handler, data: bytes, start: int, end: int) -> None:
    handler.answer(307, {"Location": handler.path})


def redirect_to(url: str) -> Fault:
    def fault(handler: Handler, data: bytes, start: int, end: int) -> None:
        handler.answer(307, {"Location": url})

    return fault


def endless(handler: Handler, data: bytes, start: int, end: int) -> None:
    """Send on and on, without saying how much."""
    handler.send_response(206)
    handler.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(data)}")
    handler.send_header("Connection", "close")
    handler.end_headers()
    handler.close_connection = True
    with contextlib.suppress(OSError):
        handler.write(data[start:end])
        while True:
            handler.write(bytes(65536))


class Silence:
    """A fault that sends some bytes and then nothing, until it is let go. `drip` sends one byte at a time meanwhile."""

    def __init__(self, count: int, *, drip_s: float | None = None) -> None:
        self._count = count
        self._drip_s = drip_s
        self.over = threading.Event()

    def __call__(self, handler: Handler, data: bytes, start: int, end: int) -> None:
        handler.answer(206, handler.part(data, start, end), data[start : start + self._count])
        at = start + self._count
        with contextlib.suppress(OSError):
            while not self.over.wait(self._drip_s if self._drip_s is not None else 60.0) and self._drip_s is not None:
                handler.write(data[at : at + 1])
                at += 1
        handler.reset()


@contextlib.contextmanager
def faulty_registry(manifests: Mapping[str, bytes], blobs: Mapping[str, bytes]) -> Iterator[FaultyRegistry]:
    registry = FaultyRegistry(manifests, blobs)
    handler = type("Bound", (Handler,), {"registry": registry})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.handle_error = lambda *unused: None  # type: ignore[method-assign] # cut connections are what it is for
    registry.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
