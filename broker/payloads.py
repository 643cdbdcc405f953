"""What is inside a batch: `samples.v2` and `lines.v1`. Opaque on the way; decoded only by who shows them.

Both are zstd over msgpack, samples in columns. Element k is number `first + k` of its stream, unless a gap of the batch
covers numbers: then the elements fill the numbers that no gap covers, in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import msgpack
from pydantic import Field, TypeAdapter, ValidationError

from broker import codec
from broker.columns import columned, rows_of
from broker.compression import compress, decompress
from broker.errors import Refused
from broker.messages import Batch

SAMPLES = "samples.v2"
LINES = "lines.v1"
ELEMENTS_MAX = 10_000
BYTES_MAX = 4 * 1024 * 1024

T = TypeVar("T")
_Int = Annotated[int, Field(ge=0, lt=2**63)]
_LINES = TypeAdapter(list[tuple[_Int, str, str, str]])


@dataclass(frozen=True)
class Sample:
    """What an app wrote: the time its entry id carries (milliseconds since 1970, as the app says) and its fields.

    Fields are bytes to apps. What is not UTF-8 in them stands as lone surrogates, as in Python's own file names.
    """

    at_ms: int
    fields: dict[str, str]


@dataclass(frozen=True)
class Line:
    """One line of a container's output; `stream` is `out` or `err`, `at_ms` the engine's time stamp."""

    at_ms: int
    service: str
    stream: str
    text: str


def pack_samples(samples: Sequence[Sample]) -> bytes:
    rows = [[_bytes(text) for field in sample.fields.items() for text in field] for sample in samples]
    return pack_rows([sample.at_ms for sample in samples], rows)


def pack_rows(times: Sequence[int], rows: Sequence[Sequence[bytes]]) -> bytes:
    """Return `samples.v2` of samples as an app wrote them: their times, and of each its names and values in turn."""
    packed: bytes = msgpack.packb(columned(times, rows), use_bin_type=False)
    return compress(packed, level=3)


def pack_lines(lines: Sequence[Line]) -> bytes:
    return _pack([(line.at_ms, line.service, line.stream, line.text) for line in lines])


def unpack_samples(payload: bytes) -> list[Sample]:
    """Return the samples; raise `Refused` on anything that is not `samples.v2`."""
    times, rows = rows_of(_columns(payload), count_max=ELEMENTS_MAX, bytes_max=BYTES_MAX)
    fields = ({_text(name): _text(value) for name, value in row.items()} for row in rows)
    return [Sample(at_ms, row) for at_ms, row in zip(times, fields, strict=True)]


def unpack_lines(payload: bytes) -> list[Line]:
    """Return the lines; raise `Refused` on anything that is not `lines.v1`."""
    return [Line(*parts) for parts in _unpack(_LINES, payload)]


def numbers(batch_first: int, batch_last: int, gaps: Sequence[tuple[int, int]]) -> list[int]:
    """Return the numbers that the elements of a batch have: all from first to last that no gap covers."""
    return [n for n in range(batch_first, batch_last + 1) if not any(low <= n <= high for low, high in gaps)]


def counted(batch: Batch) -> int:
    """Return how many elements the batch must hold."""
    return batch.last - batch.first + 1 - sum(gap.last - gap.first + 1 for gap in batch.gaps)


def _columns(payload: bytes) -> Any:
    data = decompress(payload, BYTES_MAX)
    limits = dict.fromkeys(("max_str_len", "max_bin_len", "max_array_len"), len(data))
    try:
        return msgpack.unpackb(data, raw=True, max_map_len=0, max_ext_len=0, **limits)
    except (ValueError, RecursionError, msgpack.UnpackException) as error:
        raise Refused("malformed", f"not msgpack: {type(error).__name__}: {error}"[:200]) from error


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


def _text(data: bytes) -> str:
    return data.decode(errors="surrogateescape")


def _pack(elements: object) -> bytes:
    packed: bytes = msgpack.packb(elements, use_bin_type=True)
    return compress(packed, level=3)


def _unpack(adapter: TypeAdapter[list[T]], payload: bytes) -> list[T]:
    try:
        elements = adapter.validate_python(codec.unpack(decompress(payload, BYTES_MAX)))
    except ValidationError as error:
        raise Refused("invalid", f"batch payload: {codec.first_error(error)}") from error
    if len(elements) > ELEMENTS_MAX:
        raise Refused("too_large", f"batch payload of {len(elements)} elements, at most {ELEMENTS_MAX} are read")
    return elements
