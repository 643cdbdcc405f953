"""A registry with one image, whose layer stops half-way until it is let go: for pulls that wait."""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import os
import select
import socket
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
LAYER_BYTES = 4 * 1024 * 1024


@dataclass
class SlowRegistry:
    image: str = ""
    things: dict[str, tuple[str, bytes]] = field(default_factory=dict)  # by digest: media type and content
    layer: str = ""
    drips: bool = False  # a little meanwhile: Docker 20.10 notices that nobody wants a layer only with the next bytes
    go: threading.Event = field(default_factory=threading.Event)
    is_half_way: threading.Event = field(default_factory=threading.Event)
    was_left: threading.Event = field(default_factory=threading.Event)  # the engine has closed the connection


class Handler(http.server.BaseHTTPRequestHandler):
    registry: SlowRegistry
    protocol_version = "HTTP/1.1"

    def log_message(self, *unused: object) -> None:
        pass

    def handle(self) -> None:
        if self.connection.recv(1, socket.MSG_PEEK) != b"\x16":  # Docker tries TLS first, and waits for an answer to it
            super().handle()

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        digest = self.path.rpartition("/")[2]
        kind, body = self.registry.things.get(digest, ("application/json", b"{}"))
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Docker-Content-Digest", digest or "none")
        self.end_headers()
        if not with_body:
            return
        half = len(body) // 2 if digest == self.registry.layer else len(body)
        self.wfile.write(body[:half])
        if half < len(body):
            self.wfile.write(body[half + self._wait(body[half:]) :])

    def _wait(self, rest: bytes) -> int:
        """Return how many bytes were sent meanwhile."""
        self.registry.is_half_way.set()
        try:
            return self._drip(rest)
        except ConnectionError:  # closed with bytes of ours unread: a reset instead of an end
            self.registry.was_left.set()
            raise

    def _drip(self, rest: bytes) -> int:
        sent = 0
        while not self.registry.go.wait(0.05):
            readable, _, _ = select.select([self.connection], [], [], 0)
            if readable and not self.connection.recv(1):
                self.registry.was_left.set()
                self.close_connection = True
                return len(rest)
            if self.registry.drips:
                self.wfile.write(rest[sent : sent + 1024])
                sent += 1024
        return sent


def _image() -> SlowRegistry:
    tarred = io.BytesIO()
    with tarfile.open(fileobj=tarred, mode="w") as tar:
        entry = tarfile.TarInfo("data")
        entry.size = LAYER_BYTES
        tar.addfile(entry, io.BytesIO(os.urandom(LAYER_BYTES)))
    made = SlowRegistry()

    def put(kind: str, body: bytes) -> dict[str, object]:
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        made.things[digest] = (kind, body)
        return {"mediaType": kind, "digest": digest, "size": len(body)}

    layer = put("application/vnd.oci.image.layer.v1.tar", tarred.getvalue())
    made.layer = str(layer["digest"])
    rootfs = {"type": "layers", "diff_ids": [made.layer]}
    config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs}
    told = put("application/vnd.oci.image.config.v1+json", json.dumps(config).encode())
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": told, "layers": [layer]}
    made.image = str(put(MANIFEST, json.dumps(manifest).encode())["digest"])
    return made


@contextmanager
def slow_registry() -> Iterator[SlowRegistry]:
    registry = _image()
    handler = type("Bound", (Handler,), {"registry": registry})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.handle_error = lambda *unused: None  # type: ignore[method-assign] # engines that give up are what it is for
    registry.image = f"127.0.0.1:{server.server_port}/slow@{registry.image}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield registry
    finally:
        registry.go.set()
        server.shutdown()
        server.server_close()
        thread.join()
