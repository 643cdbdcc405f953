"""The registry that engines on this device pull from: read-only, by digest alone, on the loopback address.

It answers only for the image of a pull in progress; nobody else on the device can browse what the store holds. Its port
is part of every image's name on the engine, so it never changes; another program that has it is an alarm, and no hang:
the engine is not asked to pull before the port is ours.

Written from the OCI distribution specification 1.1: ping, manifests and blobs by HEAD and GET, ranges of blobs, errors,
and an empty list of referrers.
"""

from __future__ import annotations

import contextlib
import http.server
import itertools
import json
import logging
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from broker.errors import Passing, SkerryError
from broker.oci import INDEX_TYPES, MANIFEST_TYPE

log = logging.getLogger(__name__)
HOST = "127.0.0.1"
CONNECTIONS_MAX = 16  # an engine opens a few; any program of the device can connect
SILENT_S = 60.0
REST_S = 86_400.0  # between two looks at whether it shall end; whoever ends it wakes it
_PATH = re.compile(r"/v2/(?P<name>[a-z0-9/._-]{1,255})/(?P<kind>manifests|blobs|referrers|tags)/(?P<what>[^/?]{1,300})")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_MANIFEST, _BLOB = "manifests", "blobs"

Chunks = Callable[[], Iterator[bytes]]


class PortTaken(Passing):
    """Another program listens where engines look for images."""


@dataclass(frozen=True)
class Content:
    """Something that can be asked for: its size, and how to read it from the beginning."""

    size: int
    chunks: Chunks


@dataclass(frozen=True)
class Served:
    """One image while an engine pulls it: manifests and blobs by digest."""

    repository: str
    manifests: Mapping[str, Content]
    blobs: Mapping[str, Content]
    broken: set[str] = field(default_factory=set)  # blobs that broke off once: an engine that asks again need not wait


class Loopback:
    """One server on one port. `failed(digest)` is told when a blob could not be read to its end."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._server: _Server | None = None
        self._lock = threading.Lock()
        self._served: dict[str, Served] = {}

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    def listen(self) -> None:
        """Have the port; raise `PortTaken` when somebody else has it. Does nothing while it is ours."""
        with self._lock:
            if self._server is not None:
                return
            try:
                self._server = _Server((HOST, self.port), self._of)
            except OSError as error:
                raise PortTaken(f"port {self.port} of {HOST} cannot be had for images: {error.strerror}") from error
            threading.Thread(target=self._server.serve_forever, args=(REST_S,), name="loopback", daemon=True).start()

    def close(self) -> None:
        with self._lock:
            server, self._server = self._server, None
        if server is not None:
            with contextlib.suppress(OSError):
                server.socket.shutdown(socket.SHUT_RDWR)  # wakes the thread
            server.shutdown()
            server.server_close()

    @contextlib.contextmanager
    def serving(self, image: Served) -> Iterator[None]:
        """Answer for one image meanwhile."""
        with self._lock:
            self._served = {image.repository: image}
        try:
            yield
        finally:
            with self._lock:
                self._served = {}

    def _of(self, repository: str) -> Served | None:
        with self._lock:
            return self._served.get(repository)


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True  # our own earlier life, not another program: Linux refuses a port that is listened on
    request_queue_size = 16

    def __init__(self, address: tuple[str, int], of: Callable[[str], Served | None]) -> None:
        self.of = of
        self._places = threading.BoundedSemaphore(CONNECTIONS_MAX)
        super().__init__(address, _Handler)

    def process_request(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        if not self._places.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(
        self, request: socket.socket | tuple[bytes, socket.socket], client_address: object
    ) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: object, client_address: object) -> None:
        log.debug("a connection to the loopback registry failed", exc_info=True)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    server_version = "skerry"
    sys_version = ""
    timeout = SILENT_S

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        log.debug("loopback registry: %s", format % args)

    def do_GET(self) -> None:
        if self.path in ("/v2/", "/v2"):
            self._send(200, b"{}")
            return
        match = _PATH.fullmatch(self.path.partition("?")[0])
        image = self.server.of(match["name"]) if match else None
        if match is None or image is None:
            self._refuse(404, "NAME_UNKNOWN", "no image of that name is being pulled")
        elif match["kind"] == "referrers":
            self._referrers(match["what"])
        elif match["kind"] not in (_MANIFEST, _BLOB):
            self._refuse(404, "NAME_UNKNOWN", "images have no tags here")
        else:
            self._content(image, match["kind"], match["what"])

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self.close_connection = True  # its body is not read
        self._refuse(405, "UNSUPPORTED", "this registry is only read")

    def do_PUT(self) -> None:
        self.do_POST()

    def do_PATCH(self) -> None:
        self.do_POST()

    def do_DELETE(self) -> None:
        self.do_POST()

    def _referrers(self, digest: str) -> None:
        if not _DIGEST.fullmatch(digest):
            self._refuse(400, "DIGEST_INVALID", "not a sha256 digest")
            return
        index = {"schemaVersion": 2, "mediaType": INDEX_TYPES[0], "manifests": []}
        self._send(200, json.dumps(index).encode(), {"Content-Type": INDEX_TYPES[0]})

    def _content(self, image: Served, kind: str, digest: str) -> None:
        known = image.manifests if kind == _MANIFEST else image.blobs
        content = known.get(digest)
        if digest in image.broken:  # of all errors Docker takes only few for an answer; it asks again after others
            self._refuse(403, "DENIED", "this blob is damaged on the device")
            return
        if content is None:
            if ":" in digest and not _DIGEST.fullmatch(digest):
                self._refuse(400, "DIGEST_INVALID", "not a sha256 digest")
            else:
                self._refuse(404, "MANIFEST_UNKNOWN" if kind == _MANIFEST else "BLOB_UNKNOWN", "not of this image")
            return
        headers = {
            "Content-Type": MANIFEST_TYPE if kind == _MANIFEST else "application/octet-stream",
            "Docker-Content-Digest": digest,
            "ETag": f'"{digest}"',
        }
        if kind == _BLOB:
            headers["Accept-Ranges"] = "bytes"
        span = _span(self.headers.get("Range", ""), content.size) if kind == _BLOB else None
        if span is None:
            self._stream(200, headers, content, (0, content.size), image)
        elif span[0] >= span[1]:
            self._refuse(416, "BLOB_UNKNOWN", "no such bytes", {"Content-Range": f"bytes */{content.size}"})
        else:
            headers["Content-Range"] = f"bytes {span[0]}-{span[1] - 1}/{content.size}"
            self._stream(206, headers, content, span, image)

    def _stream(
        self, status: int, headers: Mapping[str, str], content: Content, span: tuple[int, int], image: Served
    ) -> None:
        start, end = span
        self._head(status, headers, end - start)
        if self.command == "HEAD":
            return
        at = 0
        try:
            for chunk in content.chunks():
                if at + len(chunk) > start:
                    self.wfile.write(chunk[max(0, start - at) : end - at])
                at += len(chunk)
                if at >= end:
                    return
        except (ConnectionError, TimeoutError):  # the engine's end of it
            pass
        except (OSError, SkerryError) as error:
            image.broken.add(headers["Docker-Content-Digest"])
            log.error("a blob broke off for the engine: %s", error)
        self.close_connection = True

    def _refuse(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        body = json.dumps({"errors": [{"code": code, "message": message, "detail": ""}]}).encode()
        self._send(status, body, headers)

    def _send(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self._head(status, {"Content-Type": "application/json"} | dict(headers or {}), len(body))
        if self.command != "HEAD":
            self.wfile.write(body)

    def _head(self, status: int, headers: Mapping[str, str], length: int) -> None:
        self.send_response(status)
        for name, value in itertools.chain(headers.items(), [("Docker-Distribution-Api-Version", "registry/2.0")]):
            self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()


def _span(text: str, size: int) -> tuple[int, int] | None:
    """Return [start, end) of a Range of one span (RFC 9110 14); None where it asks for nothing we know: then all."""
    match = _RANGE.fullmatch(text.strip())
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        return max(0, size - int(last)), size
    if last and int(last) < int(first):
        return size, size  # RFC 9110 lets it be ignored; the distribution specification wants 416
    return int(first), min(int(last) + 1, size) if last else size
