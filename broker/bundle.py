"""Bundles: what travels between cloud and device, as a file: the envelopes of the online path, and blobs by digest.

A bundle is a tar of plain files in this order: `skerry-bundle.json` (the index), `devices/<id>/<channel>` (envelopes as
sent), `blobs/sha256/<hex>`. It is read by its headers alone; every size and count has a limit, and nothing in it is
believed but what a signature, a MAC or a digest vouches for.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from broker.channels import DESIRED, STATUS, TRUST, Channel
from broker.errors import Refused
from broker.ids import DeviceId, OrgId
from broker.messages import Count

INDEX = "skerry-bundle.json"
INDEX_BYTES_MAX = 1024 * 1024
MEMBERS_MAX = 16_384
DEVICES_MAX = 4096
BLOB_BYTES_MAX = 1 << 40
BLOCK = tarfile.BLOCKSIZE
CHANNELS = {channel.name: channel for channel in (DESIRED, TRUST, STATUS)}
_NAME = re.compile(r"devices/(d[a-z2-7]{11})/(desired|trust|status)|blobs/(sha256)/([0-9a-f]{64})")

ReadAt = Callable[[int, int], bytes]
"""`read_at(offset, size)` returns these bytes, fewer only where the file ends."""


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True)

    org: OrgId
    device: DeviceId
    name: Annotated[str, Field(max_length=200)] = ""
    era: Count = 0
    generation: Count = 0


class Index(BaseModel):
    """What a bundle says of itself: for people, and to be refused early. Nothing is decided by it."""

    model_config = ConfigDict(frozen=True)

    v: Literal[1] = 1
    made_ms: Count = 0
    devices: Annotated[tuple[_Entry, ...], Field(max_length=DEVICES_MAX)] = ()


Entry = _Entry


@dataclass(frozen=True)
class Member:
    """Where the bytes of one file of a bundle lie."""

    offset: int
    size: int


@dataclass(frozen=True)
class Contents:
    """A bundle that was read by its headers: envelopes by (device, channel), blobs by digest."""

    index: Index
    envelopes: Mapping[tuple[str, str], Member]
    blobs: Mapping[str, Member]


@dataclass
class _Found:
    envelopes: dict[tuple[str, str], Member] = field(default_factory=dict)
    blobs: dict[str, Member] = field(default_factory=dict)

    def add(self, name: str, member: Member) -> None:
        match = _NAME.fullmatch(name)
        if match is None:
            raise _bad(f"{name[:120]!r} is no name of a bundle")
        if match[1]:
            key = (match[1], match[2])
            size_max, known = CHANNELS[match[2]].size_max, key in self.envelopes
            self.envelopes[key] = member
        else:
            digest = f"{match[3]}:{match[4]}"
            size_max, known = BLOB_BYTES_MAX, digest in self.blobs
            self.blobs[digest] = member
        if known:
            raise _bad(f"{name} comes twice")
        if member.size > size_max:
            raise _bad(f"{name} has {member.size} bytes; {size_max} may be")


def read(read_at: ReadAt, size: int) -> Contents:
    """Return where everything of a bundle of `size` bytes lies; raise `Refused` (`bad_bundle`)."""
    found, index = _Found(), None
    at, count = 0, 0
    while (header := _header(read_at, at)) is not None:
        name, length = header
        count += 1
        if count > MEMBERS_MAX:
            raise _bad(f"it has more than {MEMBERS_MAX} files")
        member = Member(at + BLOCK, length)
        if member.offset + length > size:
            raise _bad(f"it ends in the middle of {name[:120]!r}: it was not copied whole")
        if index is None:
            index = _index(read_at, name, member)
        else:
            found.add(name, member)
        at = member.offset + _padded(length)
    if index is None:
        raise _bad("it is empty")
    return Contents(index, found.envelopes, found.blobs)


def _header(read_at: ReadAt, at: int) -> tuple[str, int] | None:
    """Return name and size of the file whose header lies there; None at the end."""
    block = read_at(at, BLOCK)
    if len(block) < BLOCK:
        raise _bad("it ends before its end mark: it was not copied whole")
    try:
        info = tarfile.TarInfo.frombuf(block, "ascii", "strict")
    except tarfile.EOFHeaderError:  # type: ignore[attr-defined] # a block of zeros; the name is not in its stubs
        return None
    except (tarfile.TarError, ValueError) as error:
        raise _bad(f"there is no file's header at byte {at}: {error}") from error
    if info.type != tarfile.REGTYPE or info.size < 0:
        raise _bad(f"{info.name[:120]!r} is no plain file")
    return info.name, info.size


def _index(read_at: ReadAt, name: str, member: Member) -> Index:
    if name != INDEX:
        raise _bad(f"it does not begin with {INDEX}")
    if member.size > INDEX_BYTES_MAX:
        raise _bad(f"its index has {member.size} bytes; {INDEX_BYTES_MAX} may be")
    try:
        return Index.model_validate_json(read_at(member.offset, member.size))
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(step) for step in problem["loc"])
        raise _bad(f"its index is not one this version reads: {where}: {problem['msg']}") from error


def _bad(why: str) -> Refused:
    return Refused("bad_bundle", f"this is not a bundle that can be used: {why}")


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


class Output(Protocol):
    """Where a bundle is written."""

    def write(self, data: bytes, /) -> object: ...


class Writer:
    """Writes a bundle from front to back; `finish` it."""

    def __init__(self, output: Output, index: Index) -> None:
        self._output = output
        data = index.model_dump_json().encode()
        self._add(INDEX, len(data), (data,))

    def envelope(self, device: str, channel: Channel, sealed: bytes) -> None:
        """Add an envelope as it is sent."""
        self._add(f"devices/{device}/{channel.name}", len(sealed), (sealed,))

    def blob(self, digest: str, size: int, chunks: Iterable[bytes]) -> None:
        """Add a blob; the chunks have to be as long as was said."""
        self._add(f"blobs/{digest.replace(':', '/')}", size, chunks)

    def finish(self) -> None:
        self._output.write(bytes(2 * BLOCK))

    def _add(self, name: str, size: int, chunks: Iterable[bytes]) -> None:
        info = tarfile.TarInfo(name)
        info.size, info.mode = size, 0o644
        self._output.write(info.tobuf(tarfile.GNU_FORMAT))  # ustar, but for sizes past 8 GiB
        written = 0
        for chunk in chunks:
            written += len(chunk)
            self._output.write(chunk)
        assert written == size, f"{name} has {written} bytes, not {size}"
        self._output.write(bytes(_padded(size) - size))


def chunks_of(read_at: ReadAt, member: Member, *, start: int = 0, end: int | None = None) -> Iterator[bytes]:
    """Yield bytes [start, end) of a file of a bundle; fewer where the medium ends."""
    end = member.size if end is None else min(end, member.size)
    while start < end:
        chunk = read_at(member.offset + start, min(256 * 1024, end - start))
        if not chunk:
            return
        start += len(chunk)
        yield chunk
