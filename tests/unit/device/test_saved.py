"""A layer out of an engine's archive: found whatever it is called, and not where it is not."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from broker.errors import Refused
from device.images.saved import take_layer

LAYER = b"layer" * 60_000


def diff_id(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def archive(members: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as file:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return out.getvalue()


def pieces(data: bytes) -> Iterator[bytes]:
    return (data[at : at + 70_001] for at in range(0, len(data), 70_001))


@pytest.mark.parametrize("name", ["abc/layer.tar", "blobs/sha256/1234", "1234.tar"])
def test_a_layer_is_found_under_any_name(name: str, tmp_path: Path) -> None:
    data = archive({"manifest.json": b"{}", "other.tar": LAYER[::-1], name: LAYER, "last": b"x" * 500_000})
    take_layer(pieces(data), diff_id(LAYER), tmp_path / "base", size=len(LAYER))
    assert (tmp_path / "base").read_bytes() == LAYER


def test_the_engine_is_not_read_further_than_the_layer(tmp_path: Path) -> None:
    data = archive({"layer.tar": LAYER, "last": b"x" * 5_000_000})
    left = pieces(data)
    take_layer(left, diff_id(LAYER), tmp_path / "base", size=len(LAYER))
    assert list(left) == []  # closed
    assert (tmp_path / "base").read_bytes() == LAYER


@pytest.mark.parametrize(
    "data", [b"", b"no tar" * 1000, archive({"layer.tar": LAYER[::-1]}), archive({"a": LAYER})[:9_000]]
)
def test_an_archive_without_the_layer_is_refused(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="archive"):
        take_layer(pieces(data), diff_id(LAYER), tmp_path / "base", size=len(LAYER))
