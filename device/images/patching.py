"""Layers made of patches: from the layer before, which the store or the engine has, and the few bytes that changed.

The cloud lists patches beside an image (`broker/oci.py`). None is believed: the base is read to its end and compared
with its diff id, the result with the one that the release names. A layer whose patch fails is fetched whole, and that
is said; with `patches = "only"` it is not fetched.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from broker.appspec import Image
from broker.canonical import digest
from broker.errors import Passing, Refused
from broker.files import StorageFull, StorageUnavailable, storing
from broker.layers import unpacked
from broker.oci import MANIFEST_BYTES_MAX, Blob, Patch, parse_patches, parse_referrers, referrers_tag
from device.engine.port import Engine
from device.images.flow import Growing, Lying, Tar, Told, stored, telling
from device.images.room import Need
from device.images.sources import Sources
from device.images.store import Kept, Store

log = logging.getLogger(__name__)
BLOB_MIN = 16 * 1024  # of what is missing of a layer: below, asking costs as much as a patch saves
ARTIFACTS_MAX = 8  # that are read for one image; the cloud makes a few
PACKS_BELOW = 0.95  # of a tar: a layer that was pushed larger than so much of it is kept as it is

_ONLY = "this device takes no whole layer where there is a patch"

Use = Literal["use", "only", "off"]


@dataclass(frozen=True)
class Lack:
    """A layer that is not here: its blob as pushed, what of that is missing, and its diff id."""

    blob: Blob
    missing_bytes: int
    diff_id: str


@dataclass(frozen=True)
class Base:
    """A layer that is here: as a whole blob, or else in an image of the engine, which writes that out to give it."""

    tar_bytes: int
    image: str = ""
    engine_bytes: int = 0


@dataclass(frozen=True)
class Chosen:
    """A patch that makes a layer."""

    lack: Lack
    patch: Patch
    base: Base
    result_bytes_max: int  # by what the release says of the image

    @property
    def room_bytes(self) -> int:
        """Return what it takes on the disk: the patch, the base's tar and what the engine needs for it, the result."""
        return self.patch.size + self.base.tar_bytes + self.base.engine_bytes + 2 * self.lack.blob.size


class PatchFailed(Passing):
    """A patch did not make its layer, and the owner wants no other way."""


class Patching:
    """One thread uses it. `room(need)` says whether the disk can take that, `name` how the engine calls an image."""

    def __init__(
        self,
        store: Store,
        sources: Sources,
        engine: Engine,
        *,
        use: Use,
        name: Callable[[Kept], str],
        room: Callable[[Need], bool],
    ) -> None:
        self._store = store
        self._sources = sources
        self._engine = engine
        self._name = name
        self._use = use
        self._room = room
        self._useless: set[str] = set()  # patches that failed in this life
        self._unsynced: list[tuple[str, str]] = []  # a layer that a patch made, and the patch
        self.saved_bytes = 0
        self.saving_bytes = 0  # in the transfer under way, or the last one
        self.whole_bytes = 0
        self.failed = ""

    def chosen(self, image: Image, lacks: Sequence[Lack], *, to_unpack: int) -> list[Chosen]:
        """Return the patches that make some of the layers from what is here, in fewer bytes. Raises `Passing`.

        None where the disk has no room for them, the other layers, and what the engine will unpack.
        """
        large = [lack for lack in lacks if lack.missing_bytes >= BLOB_MIN]
        bases = self._bases() if large and self._use != "off" else {}
        if not bases:
            return []
        try:
            patches = self._patches(image, bases)
        except Refused as error:
            if error.reason != "missing_blob":
                log.warning("no patches for %s: %s", image.digest, error)
            return []
        except Passing:
            if not self._sources.has_mirrors:
                raise  # the link is away: better to ask again than to fetch a whole layer
            return []
        found = []
        for lack in large:
            fitting = [each for each in patches if each.result == lack.diff_id and each.size < lack.missing_bytes]
            useful = [each for each in fitting if each.digest not in self._useless]
            if fitting and not useful and self._use == "only":
                raise PatchFailed(f"{self.failed}; {_ONLY}")
            best = min(useful, key=lambda each: each.size, default=None)
            if best is not None:
                found.append(Chosen(lack, best, bases[best.base], image.unpacked_bytes))
        patched = {each.lack for each in found}
        whole = sum(lack.missing_bytes for lack in lacks if lack not in patched)
        total = sum(each.room_bytes for each in found)
        if found and not self._room(Need(to_move=0, to_store=whole + total, to_unpack=to_unpack)):
            log.warning("no room to apply %d patches: that takes %d bytes meanwhile", len(found), total)
            return []
        return found

    def applied(self, chosen: Chosen, told: Told) -> bool:
        """Make a layer, of which the patch is here; return whether it is here now. Raises `PatchFailed` by policy.

        `told` is called now and then, and may raise to stop it. On a full disk the patch stays for another time, and
        that is raised (`StorageFull`): whether there is room for a patch was asked before, and is asked again then.
        """
        lack, patch = chosen.lack, chosen.patch
        try:
            made = self._made(chosen, told)
        except StorageFull:
            raise
        except (Refused, StorageUnavailable) as error:
            failed = f"the patch to layer {lack.diff_id} failed: {error}"
            self._store.discard(patch.digest)
            self._useless.add(patch.digest)
            self.failed = failed
            if self._use == "only":
                raise PatchFailed(f"{failed}; {_ONLY}") from error
            log.error("%s; %d bytes are fetched instead", failed, lack.missing_bytes)
            return False
        self._unsynced.append((made, patch.digest))
        self.saved_bytes += lack.missing_bytes - patch.size
        self.failed = ""
        log.info("layer %s was made by a patch of %d bytes instead of %d", lack.diff_id, patch.size, lack.missing_bytes)
        return True

    def settle(self) -> None:
        """Sync what patches made, once the engine has it, and let the patches go.

        Until then a power cut costs no link: a layer that is not what it was is noticed, and made again.
        """
        while self._unsynced:
            made, patch = self._unsynced[-1]
            try:
                self._store.sync(made)
            except StorageUnavailable as error:  # another time
                log.warning("%s", error)
                return
            self._store.discard(patch)
            self._unsynced.pop()

    def refused(self, chosen: Iterable[Chosen], error: Refused) -> None:
        """Learn that a transfer with these patches was refused: none of them is tried again."""
        self._useless.update(each.patch.digest for each in chosen)
        self.failed = f"patches could not be fetched: {error}"
        if self._use == "only":
            raise PatchFailed(f"{self.failed}; {_ONLY}") from error
        log.error("%s; the layers are fetched whole", self.failed)

    def moved(self, whole_bytes: int) -> None:
        """Learn what the layers would have taken that were fetched, in whatever way."""
        self.whole_bytes += whole_bytes

    # --- inside

    def _bases(self) -> dict[str, Base]:
        found: dict[str, Base] = {}
        for kept in self._store.images():
            name = self._name(kept)
            if self._engine.has_image(name):
                whole = sum(layer.unpacked_bytes for layer in kept.layers)
                found |= {layer.diff_id: Base(layer.unpacked_bytes, name, whole) for layer in kept.layers}
        for diff_id, blob in self._store.tars().items():
            layer = self._store.layer(blob)
            if layer is not None:
                found[diff_id] = Base(layer[1])
        return found

    def _patches(self, image: Image, bases: Mapping[str, Base]) -> list[Patch]:
        tag = referrers_tag(image.digest)
        index = self._sources.listing(image.repository, tag, size_max=MANIFEST_BYTES_MAX)
        useful = [each for each in parse_referrers(index) if each.bases & bases.keys()]
        found: list[Patch] = []
        for each in useful[-ARTIFACTS_MAX:]:
            data = self._sources.manifest(image.repository, each.digest, size_max=MANIFEST_BYTES_MAX)
            if digest(data) != each.digest:
                raise Refused("wrong_bytes", f"the registry has other bytes under {each.digest}")
            found += parse_patches(data)
        return [each for each in found if each.base in bases]

    def _made(self, chosen: Chosen, told: Told) -> str:
        """Make a layer of a patch; return the blob that it is kept as, which is not synced yet."""
        from broker.patches import BadPatch, applied, read_head  # most days no device needs it

        folder = self._store.scratch()
        base, out = folder / "base", folder / "result"
        try:
            with (
                storing(f"apply a patch in {folder}"),
                contextlib.closing(self._tar(chosen.patch.base, chosen.base, base, told)) as old,
                self._store.opened(chosen.patch.digest) as patch,
            ):
                head = read_head(patch)
                if (head.base, head.result) != (chosen.patch.base, chosen.lack.diff_id):
                    raise BadPatch(f"it is a patch from {head.base} to {head.result}")
                if head.result_bytes > chosen.result_bytes_max:
                    raise BadPatch(f"it makes {head.result_bytes} bytes; the image has {chosen.result_bytes_max}")
                pieces = applied(patch, _whole(old.read), head=head)
                packs = chosen.lack.blob.size < PACKS_BELOW * head.result_bytes
                found = stored(pieces, out, told, diff_id=head.result, size=head.result_bytes, packs=packs)
                if old.ended(told) != head.base:
                    raise Refused("wrong_base", f"the base on this disk is not {head.base}")
                self._store.adopt(out, found, is_synced=False)
            return found.digest
        finally:
            base.unlink(missing_ok=True)
            out.unlink(missing_ok=True)

    def _tar(self, diff_id: str, base: Base, path: Path, told: Told) -> Tar:
        """Return the base's tar, to be checked in the end: the blob itself where it is the tar, else a file of its own.

        What the engine writes comes in an order of its own, so of that all is there before it can be read.
        """
        if base.image:
            from device.images.saved import take_layer

            take_layer(telling(self._engine.save(base.image), told), diff_id, path, size=base.tar_bytes)
            return Lying(path.open("rb"), checked=diff_id)
        blob = self._store.tars().get(diff_id)
        if blob is None:
            raise Refused("missing_base", f"the base {diff_id} is gone")
        if blob == diff_id:
            return Lying(self._store.opened(blob))
        return Growing(unpacked(self._store.chunks(blob)), path)


def _whole(read: Callable[[int, int], bytes]) -> Callable[[int, int], bytes]:
    from broker.patches import BadPatch

    def whole(start: int, length: int) -> bytes:
        data = read(start, length)
        if len(data) != length:
            raise BadPatch("the base is shorter than the patch says")
        return data

    return whole
