"""Blobs that lie in a bundle's file: a place like a mirror, and what is kept of it while no worker runs."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence

from broker.appspec import Image
from broker.bundle import Contents, Member, chunks_of, read
from broker.canonical import digest as digest_of
from broker.errors import Refused
from broker.oci import CONFIG_BYTES_MAX, MANIFEST_BYTES_MAX, Manifest, parse_manifest
from device.images.source import LinkLost, Span
from device.images.store import Store

log = logging.getLogger(__name__)


class BundledBlobs:
    """The blobs of one bundle, read from an open file. The medium may be pulled out at any moment."""

    def __init__(self, file: int) -> None:
        self._file = file
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise Refused("bad_bundle", "a bundle is read from a file, not from a pipe or a device")
        self.contents: Contents = read(self.read_at, status.st_size)

    @property
    def blobs(self) -> Mapping[str, Member]:
        return self.contents.blobs

    def envelope(self, device: str, channel: str, *, size_max: int) -> bytes | None:
        """Return an envelope for a device, None where there is none."""
        member = self.contents.envelopes.get((device, channel))
        return None if member is None else self.read_at(member.offset, min(member.size, size_max))

    def read_at(self, offset: int, size: int) -> bytes:
        try:
            return os.pread(self._file, size, offset)
        except OSError as error:
            raise LinkLost(f"the bundle cannot be read: {error.strerror}") from error

    # --- as a place that images come from

    def has(self, digest: str) -> bool:
        return digest in self.blobs

    def manifest(self, repository: str, digest: str, *, size_max: int) -> bytes:
        return self._small(digest, size_max)

    def small_blob(self, repository: str, digest: str, *, size_max: int) -> bytes:
        return self._small(digest, size_max)

    def chunks(self, span: Span) -> Iterator[bytes]:
        member = self._member(span.digest)
        if member.size != span.size:
            raise Refused("wrong_length", f"the bundle has {member.size} bytes under {span.digest}, not {span.size}")
        left = span.end - span.start
        for chunk in chunks_of(self.read_at, member, start=span.start, end=span.end):
            left -= len(chunk)
            yield chunk
        if left:
            raise LinkLost(f"the bundle ends {left} bytes early")

    def interrupt(self) -> None:
        """Nothing here waits."""

    def _small(self, digest: str, size_max: int) -> bytes:
        member = self._member(digest)
        if member.size > size_max:
            raise Refused("wrong_length", f"the bundle has {member.size} bytes under {digest}; {size_max} may be")
        return self.read_at(member.offset, member.size)

    def _member(self, digest: str) -> Member:
        member = self.contents.blobs.get(digest)
        if member is None:
            raise Refused("missing_blob", f"the bundle does not have {digest}")
        return member


def keep(bundle: BundledBlobs, images: Sequence[Image], store: Store, *, told: Callable[[int, int], None]) -> int:
    """Take every blob of these images that the bundle has into the store; return how many were not in it.

    `told(done, total)` in bytes. Raises `Refused` naming a blob that is not what its digest says, and `Passing`.
    """
    store.prepare()
    wanted: dict[str, tuple[int, int]] = {}  # layer -> its size, the most its tar may have
    absent = 0
    for image in images:
        manifest = _manifest(bundle, image, store)
        if manifest is None:
            absent += 1
            continue
        absent += not _small(bundle, manifest.config.digest, CONFIG_BYTES_MAX, store)
        for layer in manifest.layers:
            if layer.digest in bundle.blobs:
                wanted[layer.digest] = (layer.size, image.unpacked_bytes)
            elif not store.has(layer.digest):
                absent += 1
    total, done = sum(size for size, _ in wanted.values()), 0
    for digest, (size, unpacked_max) in wanted.items():
        if not store.has(digest):
            _layer(bundle, store, Span("", digest, 0, size, size), unpacked_max)
        done += size
        told(done, total)
    return absent


def _manifest(bundle: BundledBlobs, image: Image, store: Store) -> Manifest | None:
    if not _small(bundle, image.digest, MANIFEST_BYTES_MAX, store):
        return None
    data = store.small(image.digest)
    assert data is not None  # it has just been put there
    parsed = parse_manifest(data)
    if not isinstance(parsed, Manifest):
        raise Refused("bad_manifest", f"{image.digest} names several images: a release names one")
    return parsed


def _small(bundle: BundledBlobs, digest: str, size_max: int, store: Store) -> bool:
    """Have a manifest or config in the store; return whether it is there."""
    if store.small(digest) is not None:
        return True
    if digest not in bundle.blobs:
        return False
    data = bundle.small_blob("", digest, size_max=size_max)
    if digest_of(data) != digest:
        raise Refused("wrong_bytes", f"the bundle has other bytes under {digest}: it is damaged")
    store.put_small(digest, data)
    return True


def _layer(bundle: BundledBlobs, store: Store, whole: Span, unpacked_max: int) -> None:
    with store.arriving(whole.digest, whole.size) as partial:
        for start, end in partial.missing():
            at = start
            for chunk in bundle.chunks(Span("", whole.digest, start, end, whole.size)):
                partial.write(at, chunk)
                at += len(chunk)
        store.finish(whole.digest, partial, unpacked_max=unpacked_max)
