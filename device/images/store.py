"""The content store: blobs by digest in a folder, whole and checked, or still arriving. It outlives any release.

`blobs/<hex>` is a whole blob, `blobs/<hex>.parts` its journal if it travelled, `blobs/<hex>.layer` what it unpacks to;
`arriving/<hex>` one that is not whole yet; `images/<hex>` what an image is made of, by its release manifest; and
`making/` is where patches are applied.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO

from pydantic import BaseModel, ConfigDict, ValidationError

from broker.canonical import digest as digest_of_bytes
from broker.errors import Passing, Refused
from broker.files import storing, sync_folder, write_durably
from broker.ids import Digest
from broker.layers import Measured, measured
from device.images.parts import READ, PartialBlob, journal_of

log = logging.getLogger(__name__)


class Layer(BaseModel):
    """A layer of an image: the blob it travelled as, and the tar it unpacks to."""

    model_config = ConfigDict(frozen=True)

    blob: Digest
    blob_bytes: int
    diff_id: Digest
    unpacked_bytes: int


class Kept(BaseModel):
    """An image that was fetched whole: all that is needed to give it to an engine again."""

    model_config = ConfigDict(frozen=True)

    repository: str
    manifest: Digest  # as pushed
    config: Digest
    plain: Digest
    layers: tuple[Layer, ...]

    @property
    def blobs(self) -> frozenset[str]:
        return frozenset({self.manifest, self.config, *(layer.blob for layer in self.layers)})


class _Unpacks(BaseModel):
    diff_id: Digest
    unpacked_bytes: int


class BadBlob(Passing):
    """What arrived is not what its digest names, because of this disk: the bad parts are dropped and fetched again."""


class Store:
    """Owns one folder. Blobs may be read by several threads; each blob arrives on one."""

    def __init__(self, folder: Path, *, boot: str) -> None:
        self._blobs = folder / "blobs"
        self._arriving = folder / "arriving"
        self._images = folder / "images"
        self._scratch = folder / "making"
        self._boot = boot

    def prepare(self) -> None:
        """Make the folders."""
        for folder in (self._blobs, self._arriving, self._images):
            with storing(f"make {folder}"):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    # --- whole blobs

    def has(self, digest: str) -> bool:
        return self._whole(digest).exists()

    def small(self, digest: str) -> bytes | None:
        """Return a manifest or config, or None where it is absent or not what its digest names."""
        try:
            data = self._whole(digest).read_bytes()
        except OSError:
            return None
        return data if digest_of_bytes(data) == digest else None

    def put_small(self, digest: str, data: bytes) -> None:
        write_durably(self._whole(digest), data)

    def layer(self, digest: str) -> tuple[str, int] | None:
        """Return diff id and size of the tar of a whole layer blob; None where it is not here."""
        if not self.has(digest):
            return None
        try:
            found = _Unpacks.model_validate_json(self._facts(digest).read_bytes())
        except (OSError, ValidationError):
            return self._measured_again(digest)
        return found.diff_id, found.unpacked_bytes

    def tars(self) -> dict[str, str]:
        """Return the whole blobs that are layers, by the diff ids of their tars."""
        found = {}
        for path in self._blobs.glob("*.layer"):
            name = f"sha256:{path.name.removesuffix('.layer')}"
            layer = self.layer(name)
            if layer is not None:
                found[layer[0]] = name
        return found

    def chunks(self, digest: str) -> Iterator[bytes]:
        """Yield a whole blob's bytes; raises `OSError`."""
        with self._whole(digest).open("rb") as file:
            while chunk := file.read(READ):
                yield chunk

    def opened(self, digest: str) -> BinaryIO:
        """Open a whole blob."""
        return self._whole(digest).open("rb")

    def scrub(self, digest: str) -> bool:
        """Read a whole blob again; return whether it is good. A bad one is arriving again, less its bad parts."""
        with contextlib.suppress(OSError, Refused):
            if measured(self.chunks(digest)).digest == digest:
                return True
        log.error("blob %s on disk is not what it was: its bad parts are fetched again", digest)
        with storing(f"keep {self._whole(digest)}"):
            self._whole(digest).replace(self._partial(digest))
            with contextlib.suppress(FileNotFoundError):
                journal_of(self._whole(digest)).replace(journal_of(self._partial(digest)))
            self._facts(digest).unlink(missing_ok=True)
        return False

    # --- arriving ones

    def arriving(self, digest: str, size: int) -> PartialBlob:
        """Return what is here of a blob that is not whole."""
        return PartialBlob(self._partial(digest), size=size, boot=self._boot)

    def arrived(self, digest: str) -> int:
        """Return about how many bytes of a blob that is not whole are here."""
        try:
            return self._partial(digest).stat().st_size
        except OSError:
            return 0

    def finish(self, digest: str, partial: PartialBlob, *, unpacked_max: int) -> Measured:
        """Check a blob of which nothing is missing, and make it a whole one.

        Raises `BadBlob` when parts of it were damaged here, `Refused` (`wrong_bytes`, `bad_layer`) when the source gave
        something else.
        """
        try:
            found = measured(partial.chunks(), size_max=unpacked_max)
        except Refused:
            if partial.recheck():
                raise BadBlob(f"{digest} was damaged on this disk") from None
            if digest_of_chunks(partial.chunks()) == digest:
                raise  # so it was pushed
            found = None
        if found is None or found.digest != digest:
            if partial.recheck():
                raise BadBlob(f"{digest} was damaged on this disk")
            partial.forget()
            raise Refused("wrong_bytes", f"the source has other bytes under {digest}")
        facts = _Unpacks(diff_id=found.diff_id, unpacked_bytes=found.unpacked_bytes)
        write_durably(self._facts(digest), facts.model_dump_json().encode())
        partial.sync()
        with storing(f"keep {self._whole(digest)}"):
            journal_of(partial.path).replace(journal_of(self._whole(digest)))
            partial.path.replace(self._whole(digest))
            sync_folder(self._blobs)
        return found

    def scratch(self) -> Path:
        """Return an empty folder for what is made of blobs."""
        self.clear_scratch()
        with storing(f"keep {self._scratch}"):
            self._scratch.mkdir(mode=0o700)
        return self._scratch

    def clear_scratch(self) -> None:
        """Delete what was being made, here or in an earlier life."""
        shutil.rmtree(self._scratch, ignore_errors=True)

    def adopt(self, path: Path, found: Measured, *, is_synced: bool = True) -> None:
        """Make a file that was made here a whole blob: it is what `found` says. Without a sync, do that later."""
        facts = _Unpacks(diff_id=found.diff_id, unpacked_bytes=found.unpacked_bytes).model_dump_json().encode()
        with storing(f"keep {self._whole(found.digest)}"):
            self._facts(found.digest).write_bytes(facts)
            path.replace(self._whole(found.digest))
        if is_synced:
            self.sync(found.digest)

    def sync(self, digest: str) -> None:
        """Have a blob outlive a power cut that was adopted without; nothing where it is gone."""
        with storing(f"keep {self._whole(digest)}"), contextlib.suppress(FileNotFoundError):
            for path in (self._whole(digest), self._facts(digest)):
                with path.open("rb") as file:
                    os.fsync(file.fileno())
            sync_folder(self._blobs)

    def discard(self, digest: str) -> None:
        """Delete one blob, whole or arriving."""
        for path in (self._whole(digest), self._partial(digest)):
            for each in (path, journal_of(path), self._facts(digest)):
                each.unlink(missing_ok=True)

    # --- images

    def remember(self, image: Kept) -> None:
        write_durably(self._images / _hex(image.plain), image.model_dump_json().encode())

    def image(self, plain: str) -> Kept | None:
        """Return what an image is made of, if it was fetched whole once."""
        try:
            return Kept.model_validate_json((self._images / _hex(plain)).read_bytes())
        except (OSError, ValidationError):
            return None

    def images(self) -> list[Kept]:
        found = [self.image(f"sha256:{path.name}") for path in self._images.iterdir() if len(path.name) == 64]
        return [image for image in found if image is not None]

    # --- letting go

    def forget_image(self, plain: str) -> None:
        (self._images / _hex(plain)).unlink(missing_ok=True)

    def drop(self, keep: Collection[str]) -> int:
        """Delete every blob, whole or arriving, whose digest is not in `keep`; return how many bytes that freed."""
        names = {_hex(digest) for digest in keep}
        freed = 0
        for folder in (self._blobs, self._arriving):
            for path in folder.iterdir():
                if path.name.partition(".")[0] not in names:
                    with contextlib.suppress(OSError):
                        freed += path.stat().st_blocks * 512
                        path.unlink()
        return freed

    def used_bytes(self) -> int:
        """Return what the store takes on the disk."""
        paths = (path for folder in (self._blobs, self._arriving) for path in folder.iterdir())
        return sum(path.stat().st_blocks * 512 for path in paths if path.exists())

    def _measured_again(self, digest: str) -> tuple[str, int] | None:
        try:
            found = measured(self.chunks(digest))
        except (OSError, Refused):
            return None
        facts = _Unpacks(diff_id=found.diff_id, unpacked_bytes=found.unpacked_bytes)
        write_durably(self._facts(digest), facts.model_dump_json().encode())
        return found.diff_id, found.unpacked_bytes

    def _whole(self, digest: str) -> Path:
        return self._blobs / _hex(digest)

    def _facts(self, digest: str) -> Path:
        return self._blobs / f"{_hex(digest)}.layer"

    def _partial(self, digest: str) -> Path:
        return self._arriving / _hex(digest)


def digest_of_chunks(chunks: Iterator[bytes]) -> str:
    found = hashlib.sha256()
    for chunk in chunks:
        found.update(chunk)
    return f"sha256:{found.hexdigest()}"


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")
