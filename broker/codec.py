"""The envelope: the only way bytes become messages and messages bytes.

    version 1 B | flags 1 B | algorithm 1 B | dictionary 1 B | key id 8 B | proof 16 or 64 B | body

The body is msgpack, zstd-compressed when flag 1 is set: a map by field names, or the form of broker/compact.py.
Opening goes: size, header, proof, bounded decompression, bounded decode, validation; each step guards the next, and
the first failure is a `Refused` with its own reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgpack
from pydantic import ValidationError

from broker.canonical import digest
from broker.channels import PREFIX, Channel
from broker.compact import packed, unpacked
from broker.compression import compress, decompress
from broker.errors import Refused
from broker.ids import DeviceRef
from broker.signing import KEY_ID_BYTES, PROOF_BYTES, Prover, Verifier

VERSION = 1
FLAG_ZSTD = 1
FLAG_DICTIONARY = 2  # a dictionary trained on desired states, by number; none is defined yet
COMPRESS_FROM = 256  # below this zstd's own frame costs more than it saves
DEPTH_MAX = 32
_HEADER = 4


@dataclass(frozen=True)
class Opened:
    """A message that passed every check, and its payload (the body before compression)."""

    message: Any
    payload: bytes

    @property
    def digest(self) -> str:
        return digest(self.payload)


def seal(channel: Channel, device: DeviceRef, message: Any, prover: Prover) -> bytes:
    """Return the envelope of `message` on `channel` of `device`; raise `Refused` (`too_large`) past its size."""
    return seal_payload(channel, device, pack(channel, message), prover)


def pack(channel: Channel, message: Any) -> bytes:
    """Return the payload: msgpack of the compact form where there is one, else of the fields that are not absent."""
    plain = packed(message) or channel.model.dump_python(message, mode="python", exclude_none=True)
    payload: bytes = msgpack.packb(plain, use_bin_type=True)
    if len(payload) > channel.body_max:
        raise Refused("too_large", f"{channel.name}: {len(payload)} bytes unpacked, at most {channel.body_max} travel")
    return payload


def seal_payload(channel: Channel, device: DeviceRef, payload: bytes, prover: Prover) -> bytes:
    """Return the envelope around a packed payload."""
    flags, body = 0, payload
    if len(payload) >= COMPRESS_FROM and not channel.is_dense:
        packed = compress(payload, level=9)
        if len(packed) < len(payload):
            flags, body = FLAG_ZSTD, packed
    header = bytes((VERSION, flags, prover.algorithm, 0)) + prover.key_id
    sealed = header + prover.prove(_context(channel, device) + header + body) + body
    if len(sealed) > channel.size_max:
        raise Refused("too_large", f"{channel.name}: {len(sealed)} bytes, at most {channel.size_max} travel")
    return sealed


def open_sealed(channel: Channel, device: DeviceRef, sealed: bytes, verifier: Verifier) -> Opened:
    """Return the message in `sealed`, checked in the order above; raise `Refused` at the first check that fails."""
    if len(sealed) > channel.size_max:
        raise Refused("too_large", f"{channel.name}: {len(sealed)} bytes, at most {channel.size_max} are read")
    if len(sealed) < _HEADER + KEY_ID_BYTES:
        raise Refused("malformed", f"{channel.name}: {len(sealed)} bytes are too few for an envelope")
    version, flags, algorithm, dictionary = sealed[:_HEADER]
    if version != VERSION:
        raise Refused("unknown_version", f"{channel.name}: envelope version {version}, this side reads {VERSION}")
    proof_bytes = PROOF_BYTES.get(algorithm)
    if proof_bytes is None:
        raise Refused("unknown_algorithm", f"{channel.name}: no algorithm has the number {algorithm}")
    start = _HEADER + KEY_ID_BYTES
    header, proof, body = sealed[:start], sealed[start : start + proof_bytes], sealed[start + proof_bytes :]
    verifier.verify(algorithm, header[_HEADER:], _context(channel, device) + header + body, proof)
    if flags & ~FLAG_ZSTD or dictionary:
        raise Refused("unknown_encoding", f"{channel.name}: flags {flags:#x}, dictionary {dictionary}: not known here")
    payload = decompress(body, channel.body_max) if flags & FLAG_ZSTD else body
    return Opened(_validated(channel, unpack(payload)), payload)


def unpack(payload: bytes) -> Any:
    """Return the plain value in msgpack `payload`; raise `Refused` when it is broken, too deep or has odd keys."""
    size = len(payload)
    try:
        value = msgpack.unpackb(
            payload, raw=False, strict_map_key=True, max_str_len=size, max_bin_len=size, max_array_len=size,
            max_map_len=size, max_ext_len=0,
        )  # fmt: skip
    except (ValueError, RecursionError, msgpack.UnpackException) as error:
        raise Refused("malformed", f"not msgpack: {type(error).__name__}: {error}"[:200]) from error
    _bounded_depth(value, DEPTH_MAX - 1)
    return value


def _bounded_depth(value: Any, left: int) -> None:
    if left == 0:
        raise Refused("malformed", f"nested deeper than {DEPTH_MAX}")
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        if isinstance(item, (dict, list)):
            _bounded_depth(item, left - 1)


def _validated(channel: Channel, plain: Any) -> Any:
    if isinstance(plain, list):
        plain = unpacked(plain)
    if isinstance(plain, dict) and plain.get("v", 1) != 1:
        raise Refused("unknown_version", f"{channel.name}: message version {plain['v']!r}, this side reads 1")
    try:
        return channel.model.validate_python(plain)
    except ValidationError as error:
        raise Refused("invalid", f"{channel.name}: {first_error(error)}") from error


def first_error(error: ValidationError) -> str:
    """Return where and what the first problem is, in one line."""
    problem = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(step) for step in problem["loc"]) or "the whole"
    more = error.error_count() - 1
    return f"{where}: {problem['msg']}" + (f" (and {more} more)" if more else "")


def _context(channel: Channel, device: DeviceRef) -> bytes:
    return f"{PREFIX}\n{channel.direction.value}/{channel.name}\n{device.cn}\n".encode()
