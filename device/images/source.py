"""Where blobs come from: one registry over HTTP, read from any byte on, and never believed.

Every fault of a registry or a link ends in one of three errors: `LinkLost` (try again, from the byte that is missing),
`TryLater` (the registry asks for a pause) or `Refused` with a reason (it does not have what was asked for, or sends
something else). A transfer is judged by progress alone: one that does not move is given up, a slow one never is.
"""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit

from broker.errors import Passing, Refused
from broker.oci import ACCEPT

CHUNK = 64 * 1024
CONNECT_S = 10.0
STALL_S = 30.0  # no byte for so long
STALL_BYTES_MIN = 1024  # in that time: fewer come only from who wants to hold the line
REDIRECTS_MAX = 4
BUSY_S = 1.0  # where it asks for a pause and does not say how long
PAUSE_S_MAX = 600.0  # of a Retry-After: what a registry asks for beyond is its hope, not ours
# What has come and was not read is lost with a connection that is reset. The kernel takes twice this, and would let it
# grow to megabytes; 0.8 MB/s remain for a line over a satellite with 600 ms there and back, and there are three.
RECEIVE_BUFFER = 256 * 1024
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


class LinkLost(Passing):
    """The connection ended, stood still or was never made."""


class TryLater(Passing):
    """The registry asks for a pause."""

    def __init__(self, message: str, *, after_s: float) -> None:
        super().__init__(message)
        self.after_s = after_s


@dataclass(frozen=True)
class Span:
    """Bytes [start, end) of a blob of `size` bytes."""

    repository: str
    digest: str
    start: int
    end: int
    size: int


@dataclass
class Registry:
    """A registry at `address` (`host:port`, and a path for a mirror). `tls` is None for plain HTTP.

    `token(repository, fresh)` gives a bearer token, a new one where the last was not believed. One that `is_open` gets
    none before it asks for it.
    """

    address: str
    tls: Callable[[], ssl.SSLContext] | None
    token: Callable[[str, bool], str]
    stall_s: float = STALL_S
    connect_s: float = CONNECT_S
    is_open: bool = False
    _links: set[_Link] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def manifest(self, repository: str, digest: str, *, size_max: int) -> bytes:
        """Return the bytes under a manifest's digest, unchecked, at most `size_max`."""
        return self._small(repository, f"manifests/{digest}", size_max)

    def small_blob(self, repository: str, digest: str, *, size_max: int) -> bytes:
        return self._small(repository, f"blobs/{digest}", size_max)

    def chunks(self, span: Span) -> Iterator[bytes]:
        """Yield exactly the bytes of a span, in pieces."""
        asked = {"Range": f"bytes={span.start}-{span.end - 1}"}
        with self._answer(span.repository, f"blobs/{span.digest}", asked) as (link, response):
            skip = _checked(response, span)
            left = span.end - span.start
            for chunk in link.body(response):
                if skip:  # it sends the whole blob: the link pays, but we get on
                    skip, chunk = max(0, skip - len(chunk)), chunk[skip:]  # noqa: PLW2901
                if chunk:
                    yield chunk[:left]
                    left -= len(chunk[:left])
                if not left:
                    return
            raise LinkLost(f"the registry's answer ended {left} bytes early")

    def interrupt(self) -> None:
        """End every transfer that is under way, from another thread."""
        with self._lock:
            for link in self._links:
                link.interrupt()

    def _small(self, repository: str, path: str, size_max: int) -> bytes:
        with self._answer(repository, path, {"Accept": ACCEPT}) as (link, response):
            if response.status != 200:
                raise Refused("bad_answer", f"the registry answers {path} with status {response.status}")
            data = bytearray()
            for chunk in link.body(response):
                data += chunk
                if len(data) > size_max:
                    raise Refused("wrong_length", f"the registry sends more than {size_max} bytes of {path}")
            if response.length:
                raise LinkLost(f"the registry's answer ended {response.length} bytes early")
            return bytes(data)

    @contextlib.contextmanager
    def _answer(
        self, repository: str, path: str, headers: dict[str, str]
    ) -> Iterator[tuple[_Link, http.client.HTTPResponse]]:
        scheme = "http" if self.tls is None else "https"
        url = f"{scheme}://{self.address}/v2/{repository}/{path}"
        refused, redirects = 0, 0
        home = urlsplit(url).netloc
        while True:
            token = self._token(repository, refused) if urlsplit(url).netloc == home else ""
            sent = headers | {"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {token}"} if token else {})
            with self._link(url, is_home=urlsplit(url).netloc == home) as link:
                response = link.ask(url, sent)
                if response.status in (200, 206):
                    yield link, response
                    return
                if response.status == 401 and not refused:
                    refused += 1  # tokens live for a minute, a layer may take hours
                    continue
                if response.status not in (301, 302, 303, 307, 308):
                    raise _error(response, path)
                redirects += 1
                if redirects > REDIRECTS_MAX:
                    raise Refused("redirect_loop", f"the registry redirects {path} more than {REDIRECTS_MAX} times")
                url = self._elsewhere(url, response.headers.get("Location", ""))

    def _token(self, repository: str, refused: int) -> str:
        if self.is_open:
            return self.token(repository, False) if refused else ""
        return self.token(repository, refused > 0)

    def _elsewhere(self, url: str, location: str) -> str:
        try:
            target = urljoin(url, location)
            parts = urlsplit(target)
            _ = parts.port
        except ValueError as error:
            raise Refused("bad_redirect", f"the registry redirects to {location[:200]!r}") from error
        allowed = ("https",) if self.tls is not None else ("http", "https")
        if not location or parts.scheme not in allowed or not parts.hostname or parts.username is not None:
            raise Refused("bad_redirect", f"the registry redirects to {location[:200]!r}")
        return target

    @contextlib.contextmanager
    def _link(self, url: str, *, is_home: bool) -> Iterator[_Link]:
        tls = None
        if url.startswith("https:"):  # elsewhere has the world's authorities; blobs need none
            tls = self.tls() if self.tls is not None and is_home else ssl.create_default_context()
        link = _Link(url, tls=tls, connect_s=self.connect_s, stall_s=self.stall_s)
        with self._lock:
            self._links.add(link)
        try:
            yield link
        finally:
            with self._lock:
                self._links.discard(link)
            link.close()


class _Link:
    """One connection for one request."""

    def __init__(self, url: str, *, tls: ssl.SSLContext | None, connect_s: float, stall_s: float) -> None:
        parts = urlsplit(url)
        self._stall_s = stall_s
        self._interrupted = False
        self._socket: socket.socket | None = None
        assert parts.hostname is not None
        if tls is None:
            self._connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=connect_s)
        else:
            self._connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=connect_s, context=tls)

    def ask(self, url: str, headers: dict[str, str]) -> http.client.HTTPResponse:
        parts = urlsplit(url)
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        with _as_lost("no connection to the registry"):
            self._connection.connect()
            self._socket = self._connection.sock  # the connection forgets it where the answer says "close"
            self._socket.settimeout(self._stall_s)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            if self._interrupted:
                raise LinkLost("interrupted")
            self._connection.request("GET", target, headers=headers)
            return self._connection.getresponse()

    def body(self, response: http.client.HTTPResponse) -> Iterator[bytes]:
        """Yield what comes; raise `LinkLost` when it stands still."""
        began, moved = time.monotonic(), 0
        while True:
            with _as_lost("the link to the registry was lost"):
                chunk = response.read1(CHUNK)
            if not chunk:
                return
            moved += len(chunk)
            now = time.monotonic()
            if now - began > self._stall_s:
                if moved < STALL_BYTES_MIN:
                    raise LinkLost(f"the transfer stood still: {moved} bytes in {now - began:.0f} s")
                began, moved = now, 0
            yield chunk

    def interrupt(self) -> None:
        self._interrupted = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._connection.close()


def _checked(response: http.client.HTTPResponse, span: Span) -> int:
    """Return how many bytes to skip before the span; raise `Refused` when the answer is about something else."""
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise Refused("bad_encoding", f"the registry sends {span.digest} in another encoding than asked for")
    length = response.length
    if response.status == 200:
        if length is not None and length != span.size:
            raise Refused("wrong_length", f"the registry has {length} bytes under {span.digest}, not {span.size}")
        return span.start
    match = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if match is None or int(match[1]) != span.start or not span.start <= int(match[2]) < span.end:
        raise Refused("bad_range", f"the registry answers another range of {span.digest} than asked for")
    if match[3] != "*" and int(match[3]) != span.size:
        raise Refused("wrong_length", f"the registry has {match[3]} bytes under {span.digest}, not {span.size}")
    return 0


def _error(response: http.client.HTTPResponse, path: str) -> Passing | Refused:
    status = response.status
    pause = _pause_s(response.headers.get("Retry-After", ""))
    what = f"the registry answers {path} with status {status}"
    if status == 429 or (status == 503 and pause):
        return TryLater(what, after_s=pause or BUSY_S)
    if status >= 500 or status in (401, 408, 425):
        return LinkLost(what)
    if status == 404:
        return Refused("missing_blob", f"the registry does not have {path}")
    if status == 416:
        return Refused("wrong_length", f"the registry has fewer bytes of {path} than its manifest says")
    return Refused("registry_refused", what)


def _pause_s(text: str) -> float:
    """Return the seconds of a Retry-After; one given as a date, or anything else, counts as none."""
    return min(float(text), PAUSE_S_MAX) if re.fullmatch("[0-9]{1,9}", text) else 0.0


@contextlib.contextmanager
def _as_lost(what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise LinkLost(f"{what}: {str(error) or type(error).__name__}") from error
