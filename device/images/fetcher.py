"""From a release's image to one that the engine holds: fetched whole, checked, and pulled from the loopback registry.

Nothing of the engine is touched before every byte is here. What an engine already holds of an image is not fetched, and
what is here is not fetched again; an image whose blobs are kept comes back without any link.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence

from broker.appspec import Image
from broker.canonical import digest
from broker.errors import Passing, Refused
from broker.layers import unpacked
from broker.messages import AppSection
from broker.oci import (
    CONFIG_BYTES_MAX,
    MANIFEST_BYTES_MAX,
    Blob,
    Index,
    Manifest,
    parse_config,
    parse_manifest,
    release_manifest,
)
from device.engine.port import Engine, EngineRefused
from device.images.loopback import Content, Loopback, PortTaken, Served
from device.images.patching import Lack, Patching, Use
from device.images.room import Need
from device.images.sources import Sources
from device.images.store import Kept, Layer, Store
from device.images.transfer import Progress, Transfer, Want

log = logging.getLogger(__name__)


class BlobsDamaged(Passing):
    """The engine did not take what the store holds: damaged blobs are being fetched again."""


class Fetcher:
    """One at a time fetches; any thread may `note` and `reference`."""

    def __init__(
        self,
        *,
        store: Store,
        sources: Sources,
        loopback: Loopback,
        engine: Engine,
        free_bytes: Callable[[], int | None],
        keep_blobs: bool = True,
        patches: Use = "use",
    ) -> None:
        self._store = store
        self._sources = sources
        self._loopback = loopback
        self._engine = engine
        self._free_bytes = free_bytes
        self._keep_blobs = keep_blobs
        self.patching = Patching(
            store,
            sources,
            engine,
            use=patches,
            name=lambda kept: name_of(loopback.address, kept),
            room=self._has_room,
        )
        self._moving: frozenset[str] = frozenset()  # patches on their way
        self._known: Mapping[str, Image] = {}
        self._asked_for_all: set[str] = set()
        self._checked: set[str] = set()  # blobs that were read to their end in this life, and were good
        self.port_error = ""
        self.busy = threading.Lock()  # held while an image is fetched: nothing is cleared away meanwhile

    def note(self, sections: Sequence[AppSection]) -> None:
        """Learn the images of the apps that are to run: only these are fetched."""
        images = (service.image for section in sections for service in section.spec.services.values())
        self._known = {self.name(image): image for image in images}

    def name(self, image: Image) -> str:
        """Return the name by which the engine knows a release's image."""
        return reference(self._loopback.address, self._sources.home.address, image)

    def listen(self) -> None:
        """Have the loopback registry's port, or say in `port_error` why not."""
        try:
            self._loopback.listen()
            self.port_error = ""
        except PortTaken as error:
            self.port_error = str(error)
            raise

    @property
    def plains(self) -> frozenset[str]:
        """The release manifests of the apps that are to run."""
        return frozenset(image.plain for image in self._known.values() if image.plain is not None)

    def blobs(self) -> frozenset[str]:
        """Return the blobs of the apps that are to run, as far as they are known: those that may be arriving."""
        found: set[str] = set(self._moving)
        tars = self._store.tars()
        for image in self._known.values():
            data = self._store.small(image.digest)
            if data is None:
                continue
            manifest = parse_manifest(data)
            found |= {image.digest, *_blobs_of(manifest)}
            config = None if isinstance(manifest, Index) else self._store.small(manifest.config.digest)
            if config is not None:  # also those that patches made
                found |= {tars[diff_id] for diff_id in parse_config(config).diff_ids if diff_id in tars}
        return frozenset(found)

    def fetch(self, name: str, progress: Progress) -> None:
        """Have the engine hold the image of that name; `progress(done, total)` in bytes, and it may raise to stop.

        Raises `Passing` (`LinkLost`, `TryLater`, `PortTaken`, `StorageUnavailable`, the engine's own) where another try
        goes on from here, and `Refused` with a reason where none would help.
        """
        image = self._known.get(name)
        if image is None:
            raise Refused("unknown_image", f"{name} is of no release that this device should run")
        with self.busy:
            if image.plain is None:
                self._engine.pull(name, token=self._sources.home.token(image.repository, True), progress=progress)
                return
            self._store.prepare()
            self._store.clear_scratch()
            moved = 0

            def told(done: int, total: int) -> None:
                nonlocal moved
                moved = total
                progress(done, total)

            kept, manifest, config = self._fetched(image, image.plain, name, told)
            self._given(kept, name, manifest, config, lambda: progress(moved, moved))
            if not self._keep_blobs:
                self._store.drop(())
            self.patching.settle()

    def _fetched(self, image: Image, plain: str, name: str, progress: Progress) -> tuple[Kept, bytes, bytes]:
        """Have every blob here that the engine lacks; return what the image is made of, release manifest and config."""
        manifest = self._manifest(image)
        config = self._config(image, manifest)
        diff_ids = parse_config(config).diff_ids
        if len(diff_ids) != len(manifest.layers):
            raise Refused(
                "bad_manifest", f"the config of {name} names {len(diff_ids)} layers, not {len(manifest.layers)}"
            )
        held = {} if name in self._asked_for_all else self._held(diff_ids)
        absent = [each for each in zip(manifest.layers, diff_ids, strict=True) if each[1] not in held]
        self._transfer(image, absent, held, progress)
        made_here = self._store.tars()
        layers = []
        for layer, diff_id in zip(manifest.layers, diff_ids, strict=True):
            blob = layer.digest if self._store.has(layer.digest) else made_here.get(diff_id, layer.digest)
            found = self._store.layer(blob)
            if found is None and diff_id not in held:
                raise BlobsDamaged(f"layer {layer.digest} is gone from the disk")
            is_as, size = found or (diff_id, held[diff_id])
            if is_as != diff_id:
                raise Refused("wrong_layer", f"{name}: layer {layer.digest} is {is_as}, its config says {diff_id}")
            layers.append(Layer(blob=blob, blob_bytes=layer.size, diff_id=diff_id, unpacked_bytes=size))
        made = release_manifest(config, [layer.unpacked_bytes for layer in layers])
        if digest(made) != plain:
            raise Refused("wrong_manifest", f"{name}: the registry's image makes release manifest {digest(made)}")
        kept = Kept(
            repository=image.repository,
            manifest=image.digest,
            config=manifest.config.digest,
            plain=plain,
            layers=tuple(layers),
        )
        self._store.remember(kept)
        return kept, made, config

    def _manifest(self, image: Image) -> Manifest:
        data = self._small(
            image.digest,
            lambda: self._sources.manifest(image.repository, image.digest, size_max=MANIFEST_BYTES_MAX),
        )
        parsed = parse_manifest(data)
        if isinstance(parsed, Index):
            raise Refused("bad_manifest", f"{image.digest} names several images: a release names one")
        return parsed

    def _config(self, image: Image, manifest: Manifest) -> bytes:
        wanted = manifest.config.digest
        size_max = min(manifest.config.size, CONFIG_BYTES_MAX)
        return self._small(wanted, lambda: self._sources.small_blob(image.repository, wanted, size_max=size_max))

    def _small(self, wanted: str, fetch: Callable[[], bytes]) -> bytes:
        known = self._store.small(wanted)
        if known is not None:
            return known
        data = fetch()
        if digest(data) != wanted:
            raise Refused("wrong_bytes", f"the source has other bytes under {wanted}")
        self._store.put_small(wanted, data)
        return data

    def _held(self, diff_ids: Sequence[str]) -> dict[str, int]:
        """Return the sizes of the lowest layers that the engine has in an image of ours: it will not ask for them."""
        best: tuple[Layer, ...] = ()
        for kept in self._store.images():
            same = 0
            for layer, diff_id in zip(kept.layers, diff_ids, strict=False):
                if layer.diff_id != diff_id:
                    break
                same += 1
            if same > len(best) and self._engine.has_image(name_of(self._loopback.address, kept)):
                best = kept.layers[:same]
        return {layer.diff_id: layer.unpacked_bytes for layer in best}

    def _transfer(
        self, image: Image, layers: Sequence[tuple[Blob, str]], held: Mapping[str, int], progress: Progress
    ) -> None:
        """Have the blobs of some layers, each with its diff id; by patches where these are smaller."""
        lacks = self._lacks(layers)
        unpacked_bytes = max(0, image.unpacked_bytes - sum(held.values()))
        remote = [lack for lack in lacks if not self._sources.is_bundled(lack.blob.digest)]
        chosen = {each.lack.blob.digest: each for each in self.patching.chosen(image, remote, to_unpack=unpacked_bytes)}
        whole = [lack for lack in lacks if lack.blob.digest not in chosen]
        to_move = sum(lack.missing_bytes for lack in whole)
        to_store = to_move + sum(each.room_bytes for each in chosen.values())
        self._make_room(Need(to_move=to_move, to_store=to_store, to_unpack=unpacked_bytes))
        self.patching.saving_bytes = sum(each.lack.missing_bytes - each.patch.size for each in chosen.values())
        if not lacks:
            return
        self._moving = frozenset(each.patch.digest for each in chosen.values())
        log.info("fetching %d bytes and %d patches of %s@%s", to_move, len(chosen), image.repository, image.digest)
        patches = [each.patch for each in chosen.values() if not self._is_good(each.patch.digest)]
        wants = [Want(image.repository, patch.digest, patch.size, unpacked_max=patch.size) for patch in patches]
        wants += _wants(image, whole)
        moved = sum(want.size for want in wants)
        try:
            Transfer(self._sources, self._store, wants).run(progress)
        except Refused as error:
            if not chosen or error.reason not in ("missing_blob", "wrong_bytes", "wrong_length"):
                raise
            self.patching.refused(chosen.values(), error)  # a patch, or a layer: that is told by fetching the layers
            self._transfer(image, layers, held, progress)
            return
        moved = sum(want.size for want in wants) + to_move
        failed = [
            each.lack for each in chosen.values() if not self.patching.applied(each, lambda: progress(moved, moved))
        ]
        if failed:
            self.patching.saving_bytes = 0
            to_move = sum(lack.missing_bytes for lack in failed)
            self._make_room(Need(to_move=to_move, to_store=to_move, to_unpack=unpacked_bytes))
            Transfer(self._sources, self._store, _wants(image, failed)).run(progress)
        self.patching.moved(sum(lack.missing_bytes for lack in lacks))
        self._checked |= {lack.blob.digest for lack in (*whole, *failed)}

    def _lacks(self, layers: Sequence[tuple[Blob, str]]) -> list[Lack]:
        """Return the layers that are not here in any form."""
        tars = self._store.tars()
        found = {}
        for layer, diff_id in layers:
            if not self._is_good(layer.digest) and not (diff_id in tars and self._is_good(tars[diff_id])):
                arrived = min(self._store.arrived(layer.digest), layer.size)
                found[layer.digest] = Lack(layer, layer.size - arrived, diff_id)
        return list(found.values())

    def _has_room(self, need: Need) -> bool:
        free = self._free_bytes()
        return free is None or need.fits(free)

    def _make_room(self, need: Need) -> None:
        """Check that there is room; blobs that are only kept for bad days are given up for it."""
        free = self._free_bytes()
        if free is None:
            return  # nobody knows; the disk itself will tell
        try:
            need.check(free)
        except Refused:
            if not self._store.drop(self.blobs()):
                raise
            need.check(self._free_bytes() or 0)

    def _given(self, kept: Kept, name: str, manifest: bytes, config: bytes, told: Callable[[], None]) -> None:
        """Have the engine pull the image from us."""
        self.listen()
        try:
            with self._loopback.serving(self._served(kept, manifest, config)):
                self._engine.pull(name, token="", progress=lambda done, total: told())
        except EngineRefused as error:
            # Whatever it says: either blobs here are damaged, and fetching them again cures that, or it is the engine.
            self._checked.clear()
            bad = [layer for layer in kept.layers if not self._is_good(layer.blob)]
            self._asked_for_all.add(name)  # it may have asked for a layer that we thought it has
            if bad:
                raise BlobsDamaged(f"{len(bad)} layers of {name} are damaged on this disk") from error
            raise
        if not self._engine.has_image(name):
            raise Refused("not_there", f"the engine says that it has pulled {name}, and does not know it")
        self._asked_for_all.discard(name)

    def _is_good(self, blob: str) -> bool:
        """Return whether a blob is here whole; one that lay here since an earlier life is read first."""
        if not self._store.has(blob) or (blob not in self._checked and not self._store.scrub(blob)):
            return False
        self._checked.add(blob)
        return True

    def _served(self, kept: Kept, manifest: bytes, config: bytes) -> Served:
        blobs = {kept.config: Content(len(config), lambda: iter((config,)))}
        for layer in kept.layers:
            if self._store.has(layer.blob):
                blobs[layer.diff_id] = Content(layer.unpacked_bytes, functools.partial(self._tar, layer))
        return Served(kept.repository, {kept.plain: Content(len(manifest), lambda: iter((manifest,)))}, blobs)

    def _tar(self, layer: Layer) -> Iterator[bytes]:
        return unpacked(self._store.chunks(layer.blob), size_max=layer.unpacked_bytes)


def reference(loopback: str, registry: str, image: Image) -> str:
    """Return an image's name: at the loopback registry by its release manifest, without one at the cloud's."""
    if image.plain is None:
        return f"{registry}/{image.repository}@{image.digest}"
    return f"{loopback}/{image.repository}@{image.plain}"


def _wants(image: Image, lacks: Sequence[Lack]) -> list[Want]:
    return [Want(image.repository, lack.blob.digest, lack.blob.size, image.unpacked_bytes) for lack in lacks]


def _blobs_of(parsed: Manifest | Index) -> set[str]:
    if isinstance(parsed, Index):
        return set()
    return {parsed.config.digest, *(layer.digest for layer in parsed.layers)}


def name_of(address: str, kept: Kept) -> str:
    return f"{address}/{kept.repository}@{kept.plain}"
