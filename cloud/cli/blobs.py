"""Blobs of the cloud's registry, read by digest: checked, and from the byte where a link broke off."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

import httpx

from broker.canonical import digest as digest_of
from broker.errors import Passing
from broker.oci import ACCEPT
from cloud.cli.client import pinned
from cloud.cli.errors import CloudUnreachable, RequestRefused

CHUNK = 256 * 1024
FRUITLESS_MAX = 5  # tries in a row without a byte
PAUSE_S = 1.0
LOCAL = ("127.0.0.1", "localhost")  # there the cloud's registry speaks plain HTTP


class Registry:
    """`token(repository)` gives a bearer token that pulls; it lives for minutes, a layer may take longer."""

    def __init__(
        self,
        address: str,
        *,
        ca: str,
        token: Callable[[str], str],
        pause: Callable[[float], None],
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        scheme = "http" if address.rpartition(":")[0] in LOCAL else "https"
        self._base = f"{scheme}://{address}"
        self._token = token
        self._pause = pause
        self._http = httpx.Client(
            verify=pinned(ca), transport=transport, trust_env=False, timeout=30.0, follow_redirects=True
        )

    def close(self) -> None:
        self._http.close()

    def manifest(self, repository: str, digest: str, *, size_max: int) -> bytes:
        """Return a manifest's bytes, checked."""
        return self._small(f"{repository}/manifests/{digest}", repository, digest, size_max)

    def small(self, repository: str, digest: str, *, size_max: int) -> bytes:
        """Return a small blob's bytes, checked."""
        return self._small(f"{repository}/blobs/{digest}", repository, digest, size_max)

    def chunks(self, repository: str, digest: str, size: int) -> Iterator[bytes]:
        """Yield a blob's bytes, as many as were said; raise `RequestRefused` where they are others."""
        found, at, fruitless = hashlib.sha256(), 0, 0
        while at < size:
            before = at
            try:
                for chunk in self._part(f"{repository}/blobs/{digest}", repository, at):
                    piece = chunk[: size - at]
                    found.update(piece)
                    at += len(piece)
                    yield piece
            except Passing:
                fruitless = 0 if at > before else fruitless + 1
                if fruitless >= FRUITLESS_MAX:
                    raise
                self._pause(PAUSE_S)
            else:
                if at == before:
                    raise _wrong(digest)
        if f"sha256:{found.hexdigest()}" != digest:
            raise _wrong(digest)

    def _small(self, path: str, repository: str, digest: str, size_max: int) -> bytes:
        data = bytearray()
        for chunk in self._part(path, repository, 0):
            data += chunk
            if len(data) > size_max:
                raise _wrong(digest)
        if digest_of(bytes(data)) != digest:
            raise _wrong(digest)
        return bytes(data)

    def _part(self, path: str, repository: str, start: int) -> Iterator[bytes]:
        headers = {
            "Authorization": f"Bearer {self._token(repository)}",
            "Accept": ACCEPT,
            "Accept-Encoding": "identity",
        } | ({"Range": f"bytes={start}-"} if start else {})
        url = f"{self._base}/v2/{path}"
        try:
            with self._http.stream("GET", url, headers=headers) as response:
                if response.status_code == 404:
                    raise RequestRefused("missing_blob", f"the registry does not have {path}", status=404)
                if response.status_code not in (200, 206):
                    raise CloudUnreachable(f"the registry answers {path} with status {response.status_code}")
                if start and response.status_code == 200:
                    raise CloudUnreachable(f"the registry cannot go on in the middle of {path}")
                yield from response.iter_raw(CHUNK)
        except httpx.TransportError as error:
            raise CloudUnreachable(f"no answer from the registry ({error or type(error).__name__})") from error


def _wrong(digest: str) -> RequestRefused:
    return RequestRefused("wrong_bytes", f"the registry has other bytes under {digest}", hint="push the release again")
