"""Images made for tests, as a builder's registry has them: seeded content, gzip, zstd or plain layers."""

from __future__ import annotations

import gzip
import http.client
import io
import json
import random
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from broker.appspec import Image
from broker.canonical import digest
from broker.compression import compress
from broker.oci import CONFIG_TYPE, LAYER_TYPE, MANIFEST_TYPE, release_manifest

Packing = Literal["gzip", "zstd", "plain"]


def layer_tar(files: Mapping[str, bytes]) -> bytes:
    """Return a tar of files, always the same bytes for the same files."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o755
            archive.addfile(info, io.BytesIO(content))
    return data.getvalue()


def noise(size: int, *, seed: int) -> bytes:
    """Return bytes that no compression makes smaller."""
    return random.Random(seed).randbytes(size)  # noqa: S311 - content of a test, always the same


def packed(tar: bytes, packing: Packing) -> bytes:
    if packing == "gzip":
        return gzip.compress(tar, 1, mtime=0)
    return compress(tar, level=1) if packing == "zstd" else tar


@dataclass(frozen=True)
class BuiltImage:
    """An image with all its blobs by digest. `image` is what a release says of it."""

    repository: str
    manifest: bytes
    config: bytes
    plain: bytes
    tars: tuple[bytes, ...]
    layers: tuple[bytes, ...]
    blobs: Mapping[str, bytes] = field(repr=False, default_factory=dict)

    @property
    def digest(self) -> str:
        return digest(self.manifest)

    @property
    def image(self) -> Image:
        return Image(
            repository=self.repository,
            digest=self.digest,
            plain=digest(self.plain),
            unpacked_bytes=sum(len(tar) for tar in self.tars),
        )


def built(
    tars: Sequence[bytes],
    *,
    repository: str = "oaaaaaaaaaaa/aaaaaaaaaaaa/web",
    packing: Packing = "gzip",
    command: Sequence[str] = ("/bin/busybox", "sleep", "60"),
) -> BuiltImage:
    """Return an image with these layers, the lowest first."""
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": list(command)},
            "rootfs": {"type": "layers", "diff_ids": [digest(tar) for tar in tars]},
            "history": [{"created_by": f"layer {number}"} for number in range(len(tars))],
        }
    ).encode()
    layers = tuple(packed(tar, packing) for tar in tars)
    suffix = "" if packing == "plain" else f"+{packing}"
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": {"mediaType": CONFIG_TYPE, "digest": digest(config), "size": len(config)},
            "layers": [
                {"mediaType": LAYER_TYPE + suffix, "digest": digest(layer), "size": len(layer)} for layer in layers
            ],
        }
    ).encode()
    return BuiltImage(
        repository=repository,
        manifest=manifest,
        config=config,
        plain=release_manifest(config, [len(tar) for tar in tars]),
        tars=tuple(tars),
        layers=layers,
        blobs={digest(blob): blob for blob in (config, *layers)},
    )


def upload(address: str, image: BuiltImage, *, token: str = "") -> None:
    """Put an image into a registry as a builder does."""
    for key, blob in image.blobs.items():
        _put(address, f"/v2/{image.repository}/blobs/uploads/", key, blob, token)
    put_manifest(address, image.repository, image.digest, MANIFEST_TYPE, image.manifest, token=token)


def put_blob(address: str, repository: str, blob: bytes) -> None:
    _put(address, f"/v2/{repository}/blobs/uploads/", digest(blob), blob, "")


def put_manifest(address: str, repository: str, reference: str, kind: str, data: bytes, *, token: str = "") -> None:
    connection = http.client.HTTPConnection(address, timeout=30)
    headers = {"Content-Type": kind, "Authorization": f"Bearer {token}"}
    connection.request("PUT", f"/v2/{repository}/manifests/{reference}", data, headers)
    answer = connection.getresponse()
    assert answer.status == 201, answer.read()
    connection.close()


def _put(address: str, path: str, key: str, blob: bytes, token: str) -> None:
    connection = http.client.HTTPConnection(address, timeout=30)
    headers = {"Authorization": f"Bearer {token}"}
    connection.request("POST", path, headers=headers)
    begun = connection.getresponse()
    begun.read()
    assert begun.status == 202
    where = urlsplit(begun.headers["Location"])
    target = f"{where.path}?{where.query}&digest={key}"
    connection.request("PUT", target, blob, headers | {"Content-Type": "application/octet-stream"})
    answer = connection.getresponse()
    assert answer.status == 201, answer.read()
    connection.close()
