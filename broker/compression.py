"""zstd (RFC 8878) in both directions, with a bound on what may come out: imported here and nowhere else."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

from broker.errors import Refused

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PREFIX_MIN = 8  # fewer bytes zstd does not take for a dictionary
WINDOW_LOG_MAX = 23  # 8 MiB: what a decoder must be ready to hold for a frame of ours


def compress(data: bytes, *, level: int) -> bytes:
    return bytes(zstd.compress(data, level=level))


def compressed(pieces: Iterable[bytes], *, level: int) -> Iterator[bytes]:
    """Yield one zstd frame of a stream."""
    compressor = zstd.ZstdCompressor(level=level)
    for piece in pieces:
        data = compressor.compress(piece)
        if data:
            yield data
    yield compressor.flush()


def decompress(body: bytes, size_max: int) -> bytes:
    """Return the zstd frame's content; raise `Refused` when it is broken, cut off or unpacks to over `size_max`."""
    decompressor = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: WINDOW_LOG_MAX})
    try:
        data = decompressor.decompress(body, size_max + 1)
    except zstd.ZstdError as error:
        raise Refused("malformed", f"not a zstd frame: {error}") from error
    if len(data) > size_max:
        raise Refused("too_large", f"unpacks to more than {size_max} bytes")
    if not decompressor.eof or decompressor.unused_data:
        raise Refused("malformed", "the zstd frame is cut off or followed by other bytes")
    return data


def compress_against(data: bytes, prefix: bytes, *, level: int) -> bytes:
    """Return a frame that only `decompressed_against` the same prefix can read: what both share costs little."""
    parameter = zstd.CompressionParameter
    options: dict[int, int] = {
        parameter.compression_level: level,
        parameter.window_log: max(10, (len(data) + len(prefix)).bit_length()),
        parameter.enable_long_distance_matching: 1,
        parameter.checksum_flag: 0,  # who reads it checks the digest of the whole
    }
    known = zstd.ZstdDict(prefix, is_raw=True).as_prefix if len(prefix) >= PREFIX_MIN else None
    compressor = zstd.ZstdCompressor(options=options, zstd_dict=known)
    return bytes(compressor.compress(data, zstd.ZstdCompressor.FLUSH_FRAME))


def decompressed_against(body: bytes, prefix: bytearray, *, size: int, piece_max: int) -> Iterator[bytes]:
    """Yield the `size` bytes that `compress_against` was given, in pieces; raise `Refused` (`malformed`).

    The prefix is emptied: the decoder has a copy of its own, and two are too much to hold.
    """
    known = zstd.ZstdDict(prefix, is_raw=True).as_prefix if len(prefix) >= PREFIX_MIN else None
    prefix.clear()
    window_log = max(10, (max(size, 1) - 1).bit_length())
    limits: dict[int, int] = {zstd.DecompressionParameter.window_log_max: window_log}
    decoder = zstd.ZstdDecompressor(zstd_dict=known, options=limits)
    left = size
    try:
        while not decoder.eof:
            piece = decoder.decompress(body, piece_max)
            body = b""
            left -= len(piece)
            if left < 0 or (not piece and decoder.needs_input and not decoder.eof):
                break
            if piece:
                yield piece
    except zstd.ZstdError as error:
        raise Refused("malformed", f"not a zstd frame against this base: {error}") from error
    if left or not decoder.eof or decoder.unused_data:
        raise Refused("malformed", "the zstd frame has another length than was said")


class ZstdStream:
    """Unpacks a stream of zstd frames in pieces of at most `piece_max` bytes; frames may follow frames."""

    def __init__(self, *, window_log_max: int, piece_max: int) -> None:
        self._options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: window_log_max}
        self._piece_max = piece_max
        self._decoder = zstd.ZstdDecompressor(options=self._options)

    @property
    def is_complete(self) -> bool:
        """Return whether what was fed ends with the end of a frame."""
        return bool(self._decoder.eof)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what `data` unpacks to; raise `Refused` (`malformed`)."""
        try:
            while True:
                if self._decoder.eof:
                    if not data:
                        return
                    self._decoder = zstd.ZstdDecompressor(options=self._options)
                piece = self._decoder.decompress(data, self._piece_max)
                if piece:
                    yield piece
                if self._decoder.eof:
                    data = self._decoder.unused_data
                elif self._decoder.needs_input:
                    return
                else:
                    data = b""
        except zstd.ZstdError as error:
            raise Refused("malformed", f"not a zstd frame: {error}") from error
