"""Bundles: what was written is read, every limit holds, and any tar program can read them."""

from __future__ import annotations

import io
import tarfile

import pytest

from broker import bundle
from broker.bundle import BLOCK, INDEX, Contents, Index, Writer, chunks_of, read
from broker.channels import DESIRED, STATUS
from broker.errors import Refused
from tests.fuzz.bundle import DEVICE, made

BLOB = "sha256:" + "1" * 64


def contents_of(data: bytes) -> Contents:
    return read(lambda offset, size: data[offset : offset + size], len(data))


def tar_of(*members: tuple[str, bytes], kind: bytes = tarfile.REGTYPE) -> bytes:
    output = io.BytesIO()
    for name, data in members:
        info = tarfile.TarInfo(name)
        info.size, info.type = len(data), kind
        output.write(info.tobuf(tarfile.GNU_FORMAT) + data + bytes(-len(data) % BLOCK))
    return output.getvalue() + bytes(2 * BLOCK)


EMPTY = (INDEX, Index().model_dump_json().encode())


def test_what_was_written_is_read_and_its_bytes_are_found() -> None:
    data = made()
    found = contents_of(data)
    assert [entry.device for entry in found.index.devices] == [DEVICE]
    assert set(found.envelopes) == {(DEVICE, "trust"), (DEVICE, "desired"), (DEVICE, "status")}
    member = found.blobs[BLOB]
    assert data[member.offset : member.offset + member.size] == b"x" * 700
    part = chunks_of(lambda offset, size: data[offset : offset + size], member, start=600, end=9999)
    assert b"".join(part) == b"x" * 100


def test_a_bundle_is_a_tar() -> None:
    with tarfile.open(fileobj=io.BytesIO(made())) as archive:
        assert archive.getnames()[:3] == [INDEX, f"devices/{DEVICE}/trust", f"devices/{DEVICE}/desired"]


def test_a_blob_past_what_octal_digits_can_say_is_found() -> None:
    size = 9 * 1024**3
    info = tarfile.TarInfo(f"blobs/sha256/{'1' * 64}")
    info.size = size
    head = tar_of(EMPTY)[: -2 * BLOCK] + info.tobuf(tarfile.GNU_FORMAT)
    whole = len(head) + size + 2 * BLOCK

    def read_at(offset: int, count: int) -> bytes:
        return head[offset : offset + count] if offset < len(head) else bytes(min(count, max(0, whole - offset)))

    assert read(read_at, whole).blobs[BLOB].size == size


@pytest.mark.parametrize("end", [BLOCK + 1, 2 * BLOCK + 1, 3 * BLOCK, 5 * BLOCK + 7])
def test_one_that_was_not_copied_whole_is_refused(end: int) -> None:
    with pytest.raises(Refused, match="not copied whole"):
        contents_of(made()[:-end])


def test_a_file_that_ends_in_the_middle_is_named() -> None:
    data = made()
    whole = contents_of(data)
    with pytest.raises(Refused, match=f"in the middle of 'blobs/sha256/{'1' * 64}'"):
        contents_of(data[: whole.blobs[BLOB].offset + 699])


BAD = {
    "nothing": (b"", "not copied whole"),
    "no file": (bytes(2 * BLOCK), "it is empty"),
    "noise": (b"x" * BLOCK * 3, "no file's header"),
    "a flipped header": (made()[:100] + b"!" + made()[101:], "no file's header"),
    "no index first": (tar_of((f"devices/{DEVICE}/desired", b"")), "does not begin with"),
    "an index of another version": (tar_of((INDEX, b'{"v":2}')), "not one this version reads: v"),
    "an index that is no JSON": (tar_of((INDEX, b"{")), "not one this version reads"),
    "a name of something else": (tar_of(EMPTY, ("../../etc/passwd", b"")), "no name of a bundle"),
    "a name of no device": (tar_of(EMPTY, ("devices/x/desired", b"")), "no name of a bundle"),
    "a folder": (tar_of(EMPTY, ("blobs", b""), kind=tarfile.DIRTYPE), "no plain file"),
    "a link": (tar_of(EMPTY, ("blobs", b""), kind=tarfile.SYMTYPE), "no plain file"),
    "an extended header": (tar_of((INDEX, b"{}"), kind=tarfile.XHDTYPE), "no plain file"),
    "the same twice": (tar_of(EMPTY, (f"devices/{DEVICE}/trust", b""), (f"devices/{DEVICE}/trust", b"")), "twice"),
    "a large envelope": (
        tar_of(EMPTY, (f"devices/{DEVICE}/desired", bytes(DESIRED.size_max + 1))),
        f"{DESIRED.size_max} may be",
    ),
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_no_bundle_is_refused_and_named(what: str) -> None:
    data, why = BAD[what]
    with pytest.raises(Refused, match=why) as refused:
        contents_of(data)
    assert refused.value.reason == "bad_bundle"


def test_a_bundle_has_a_limited_number_of_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "MEMBERS_MAX", 4)
    with pytest.raises(Refused, match="more than 4 files"):
        contents_of(made())
    assert contents_of(made(blobs=0)).blobs == {}


def test_a_blob_that_is_not_as_long_as_was_said_is_a_mistake_of_ours() -> None:
    writer = Writer(io.BytesIO(), Index())
    with pytest.raises(AssertionError):
        writer.blob(BLOB, 3, (b"xx",))
    writer.envelope(DEVICE, STATUS, b"x")
