"""A layer on its way: compressed by gzip or zstd, or not at all, to the plain tar, piece by piece in bounded memory."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from broker.compression import ZstdStream
from broker.errors import Refused

PIECE = 256 * 1024  # unpacked at a time: a stream that unpacks to a thousand times its size is no danger to memory
WINDOW_LOG_MAX = 26  # 64 MiB: what zstd writes without --long or --ultra
LAYER_BYTES_MAX = 64 * 1024**3  # of one tar, where nothing narrower is known
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_GZIP_WBITS = 31
_PEEK = 4


@dataclass(frozen=True)
class Measured:
    """What reading a layer showed: the digest of its bytes as they came, the digest and the size of the tar."""

    digest: str
    diff_id: str
    unpacked_bytes: int


class _Decoder(Protocol):
    @property
    def is_complete(self) -> bool: ...

    def feed(self, data: bytes) -> Iterator[bytes]: ...


class _Plain:
    is_complete = True

    def feed(self, data: bytes) -> Iterator[bytes]:
        yield data


class _Gzip:
    """Members may follow members, and zero bytes the last (RFC 1952 2.2)."""

    def __init__(self) -> None:
        self._decoder = zlib.decompressobj(_GZIP_WBITS)
        self.is_complete = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        try:
            while data:
                if self.is_complete:
                    data = data.lstrip(b"\0")
                    if not data:
                        return
                    self._decoder, self.is_complete = zlib.decompressobj(_GZIP_WBITS), False
                piece = self._decoder.decompress(data, PIECE)
                if piece:
                    yield piece
                self.is_complete = self._decoder.eof
                data = self._decoder.unused_data if self.is_complete else self._decoder.unconsumed_tail
            while not self.is_complete and (piece := self._decoder.decompress(b"", PIECE)):
                yield piece  # what it held back because the piece was full
                self.is_complete = self._decoder.eof
        except zlib.error as error:
            raise Refused("bad_layer", f"the layer's gzip stream is broken: {error}") from error


def unpacked(chunks: Iterable[bytes], *, size_max: int = LAYER_BYTES_MAX) -> Iterator[bytes]:
    """Yield the plain tar in pieces; how it is compressed is told by its first bytes, as engines do it.

    Raises `Refused` (`bad_layer`) where it is broken, cut off or larger than `size_max`.
    """
    rest = iter(chunks)
    head = b""
    for chunk in rest:
        head += chunk
        if len(head) >= _PEEK:
            break
    decoder = _decoder_for(head)
    size = 0
    try:
        for data in _then(head, rest):
            for piece in decoder.feed(data):
                size += len(piece)
                if size > size_max:
                    raise Refused("bad_layer", f"the layer unpacks to more than {size_max} bytes")
                yield piece
    except Refused as error:
        if error.reason != "malformed":
            raise
        raise Refused("bad_layer", f"the layer's zstd stream is broken: {error}") from error
    if not decoder.is_complete:
        raise Refused("bad_layer", "the layer is cut off")


def measured(chunks: Iterable[bytes], *, size_max: int = LAYER_BYTES_MAX) -> Measured:
    """Read a layer to its end and return what it is; raises as `unpacked` does."""
    as_sent, tar, size = hashlib.sha256(), hashlib.sha256(), 0
    for piece in unpacked(_hashed(chunks, as_sent), size_max=size_max):
        tar.update(piece)
        size += len(piece)
    return Measured(f"sha256:{as_sent.hexdigest()}", f"sha256:{tar.hexdigest()}", size)


def _hashed(chunks: Iterable[bytes], into: hashlib._Hash) -> Iterator[bytes]:
    for chunk in chunks:
        into.update(chunk)
        yield chunk


def _then(head: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield head
    yield from rest


def _decoder_for(head: bytes) -> _Decoder:
    if head.startswith(_GZIP):
        return _Gzip()
    if head.startswith(_ZSTD):
        return ZstdStream(window_log_max=WINDOW_LOG_MAX, piece_max=PIECE)
    return _Plain()
