"""The patcher: after a push it makes patches from the images that devices have, and stores them beside the new one.

They lie in the image's own repository as artifacts that refer to it (OCI 1.1; the registry has no referrers API, so
under the fallback tag). Devices find them there; nothing signed names them. They are gone with their release: what is
neither deployed nor among an app's newest releases keeps none.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from broker.appspec import AppSpec, Image
from broker.canonical import digest
from broker.children import run_to_end
from broker.clock import Clock
from broker.errors import Passing, Refused
from broker.layers import unpacked
from broker.oci import (
    CONFIG_BYTES_MAX,
    EMPTY,
    INDEX_TYPES,
    MANIFEST_TYPE,
    Blob,
    Index,
    Patch,
    Referrer,
    layer_commands,
    parse_config,
    parse_manifest,
    patches_manifest,
    referrers_index,
    referrers_tag,
)
from cloud.patching.making import reading
from cloud.patching.pairing import Contents, partner
from cloud.patching.tar_entries import entries
from cloud.store import apps, instances, patches, releases
from cloud.store.database import Database
from cloud.store.patches import Made

log = logging.getLogger(__name__)

RELEASES_KEPT = 4  # of an app, the newest, beside the deployed ones: only their images keep patches
BASES_MAX = 3  # images from which patches to one are made
APP_BYTES_MAX = 1024**3  # of all patches of an app; beyond, the oldest go
LAYER_MIN = 16 * 1024  # as pushed: below, asking for a patch costs as much as it saves
LAYER_MAX = 2 * 1024**3  # of a tar
BASES_BYTES_MAX = 4 * 1024**3  # of the tars of one image that lie on the disk meanwhile; one more may begin before
DISK_RESERVE = 1024**3
WORTH = 0.8  # of the blob as pushed: a patch that is larger than so much of it is not kept
MAKING_BYTES_MAX = 1024**3
MAKING_S_MAX = 600.0
RETRY_S = 30.0
SETTLED_S_MAX = 5.0  # most patches are made by then; a device that is told earlier takes the layers


class Contained(Protocol):
    """What is needed of the registry."""

    def manifest(self, repository: str, digest: str, *, now_s: int) -> bytes | None: ...

    def blob(self, repository: str, digest: str, *, now_s: int) -> AbstractContextManager[Iterator[bytes] | None]: ...

    def put_blob(self, repository: str, digest: str, path: Path, *, now_s: int) -> None: ...

    def put_manifest(self, repository: str, reference: str, kind: str, data: bytes, *, now_s: int) -> None: ...

    def delete(self, repository: str, path: str, *, now_s: int) -> None: ...


@dataclass(frozen=True)
class _Layer:
    blob: Blob
    diff_id: str
    command: str


@dataclass(frozen=True)
class _Unpacked:
    layer: _Layer
    path: Path
    contents: Contents


class Patcher:
    """One thread; `pushed` may be told from any. A patch that cannot be made is no error: devices take the layer."""

    def __init__(self, database: Database, registry: Contained, folder: Path, *, clock: Clock) -> None:
        self._database = database
        self._registry = registry
        self._folder = folder
        self._clock = clock
        self._changed = threading.Condition()
        self._waiting: set[str] = set()
        self._at_work = ""
        self._woken = threading.Event()

    def pushed(self, app: str) -> None:
        """Tell that an app has a new release, or is deleted."""
        with self._changed:
            self._waiting.add(app)
        self._woken.set()

    def await_settled(self, app: str) -> bool:
        """Wait until nothing is to be made for an app, but not long; return whether that is so.

        For a deployment right after its push: devices that are told a moment later find the patches.
        """
        with self._changed:
            return self._changed.wait_for(
                lambda: app not in self._waiting and self._at_work != app, timeout=SETTLED_S_MAX
            )

    def wake(self) -> None:
        self._woken.set()

    def run(self, stopping: threading.Event) -> None:
        """Work until `stopping`; wake it to end. What was left by an earlier life is found at the start."""
        with self._database.read() as tx:
            every = apps.all_ids(tx)
        with self._changed:
            self._waiting.update(every)
        self._woken.set()
        while not stopping.is_set():
            self._woken.wait()
            self._woken.clear()
            while not stopping.is_set() and (app := self._next()) is not None:
                try:
                    self.work(app, stopping)
                except Passing as error:
                    self._ended()
                    if not stopping.wait(RETRY_S):
                        log.warning("patches of app %s are made later: %s", app, error)
                        self.pushed(app)
                finally:
                    self._ended()

    def work(self, app: str, stopping: threading.Event) -> None:
        """Make what an app's newest release lacks, and drop what no release needs; raise `Passing`."""
        with self._database.read() as tx:
            is_there = apps.exists(tx, app)
            known = releases.of_app(tx, app) if is_there else ()
            running = {instance.release for instance in instances.of_app(tx, app)}
            made = patches.of_app(tx, app)
        kept = [release for n, release in enumerate(known) if n < RELEASES_KEPT or release.digest in running]
        specs = {release.digest: AppSpec.model_validate_json(release.spec) for release in kept}
        needed = {image.digest for spec in specs.values() for image in _images(spec).values()}
        for gone in _superfluous(made, needed):
            self._drop(gone)
        if not kept:
            return
        done = {(each.repository, each.image, each.base) for each in made}
        first = [release.digest for release in kept if release.digest in running]
        order = [*first, *(release.digest for release in kept if release.digest not in first)]
        for image, base in _wanted(specs[kept[0].digest], [specs[each] for each in order]):
            if (image.repository, image.digest, base.digest) not in done:
                self._make(app, image, base, stopping)

    def _next(self) -> str | None:
        with self._changed:
            self._at_work = self._waiting.pop() if self._waiting else ""
            return self._at_work or None

    def _ended(self) -> None:
        with self._changed:
            self._at_work = ""
            self._changed.notify_all()

    @property
    def _now_s(self) -> int:
        return self._clock.wall_ms() // 1000

    # --- making

    def _make(self, app: str, image: Image, base: Image, stopping: threading.Event) -> None:
        began = self._clock.monotonic()
        shutil.rmtree(self._folder, ignore_errors=True)
        try:
            self._folder.mkdir(mode=0o700, parents=True)
            found = self._patches(image, base, stopping)
            artifact = self._stored(image, found) if found else ""
        except Refused as error:
            log.warning("no patches from %s to %s: %s", base.digest, image.digest, error)
            found, artifact = [], ""
        except OSError as error:
            raise Passing(f"no place to make patches in {self._folder}: {error.strerror or error}") from error
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)
        made = Made(
            repository=image.repository,
            image=image.digest,
            base=base.digest,
            app=app,
            artifact=artifact,
            blobs=" ".join(patch.digest for patch in found),
            bytes=sum(patch.size for patch in found),
            made_ms=self._clock.wall_ms(),
        )
        with self._database.write() as tx:
            patches.put(tx, made)
        took = self._clock.monotonic() - began
        log.info("%d patches to %s, %d bytes, in %.1f s", len(found), image.digest, made.bytes, took)

    def _patches(self, image: Image, base: Image, stopping: threading.Event) -> list[Patch]:
        """Make the patches to an image's layers, and put them into the registry."""
        layers, known = self._layers(image), self._layers(base)
        here = {layer.diff_id for layer in layers}
        had = {layer.diff_id for layer in known}
        changed = [layer for layer in layers if layer.diff_id not in had and layer.blob.size >= LAYER_MIN]
        if not changed or not had - here:
            return []
        bases: list[_Unpacked] = []
        for layer in known:
            if layer.diff_id not in here and sum(each.path.stat().st_size for each in bases) < BASES_BYTES_MAX:
                bases.append(self._unpacked(base, layer))
        found = []
        for layer in changed:
            new = self._unpacked(image, layer)
            number = partner(new.contents, [each.contents for each in bases])
            if number is not None:
                patch = self._patch(image, bases[number], new, stopping)
                found += [patch] if patch is not None else []
            new.path.unlink()
        return found

    def _layers(self, image: Image) -> list[_Layer]:
        data = self._registry.manifest(image.repository, image.digest, now_s=self._now_s)
        if data is None:
            raise Refused("missing_image", f"{image.repository}@{image.digest} is gone")
        manifest = parse_manifest(data)
        if isinstance(manifest, Index) or manifest.config.size > CONFIG_BYTES_MAX:
            raise Refused("bad_image", f"{image.digest} is not one image")
        with self._registry.blob(image.repository, manifest.config.digest, now_s=self._now_s) as chunks:
            config = b"" if chunks is None else b"".join(chunks)
        diff_ids = parse_config(config).diff_ids
        commands = layer_commands(config) or ("",) * len(diff_ids)
        return [_Layer(*each) for each in zip(manifest.layers, diff_ids, commands, strict=True)]

    def _unpacked(self, image: Image, layer: _Layer) -> _Unpacked:
        """Write a layer's tar to the disk, and look what it holds."""
        path = self._folder / layer.diff_id.replace(":", "-")
        found, size = hashlib.sha256(), 0
        with self._registry.blob(image.repository, layer.blob.digest, now_s=self._now_s) as chunks:
            if chunks is None:
                raise Refused("missing_image", f"layer {layer.blob.digest} is gone")
            room = shutil.disk_usage(self._folder).free - DISK_RESERVE  # the database lies there too
            with path.open("wb") as file:
                for piece in unpacked(chunks, size_max=max(0, min(LAYER_MAX, room))):
                    found.update(piece)
                    size += file.write(piece)
        if f"sha256:{found.hexdigest()}" != layer.diff_id:
            raise Refused("bad_image", f"layer {layer.blob.digest} is not {layer.diff_id}")
        with path.open("rb") as file:
            files = {entry.path: entry.size for entry in entries(reading(file.fileno()), size) if entry.size}
        return _Unpacked(layer, path, Contents(files, layer.command))

    def _patch(self, image: Image, base: _Unpacked, new: _Unpacked, stopping: threading.Event) -> Patch | None:
        """Make one patch in a process of its own; None where there is none, or none that is worth it."""
        out = self._folder / "patch"
        argv = [sys.executable, "-m", "cloud.patching.making"]
        argv += [str(base.path), base.layer.diff_id, str(new.path), new.layer.diff_id, str(out)]
        failed = run_to_end(argv, data_bytes_max=MAKING_BYTES_MAX, timeout_s=MAKING_S_MAX, stopping=stopping)
        if failed is not None:
            log.warning("no patch to layer %s: %s", new.layer.diff_id, failed)
            return None
        size = out.stat().st_size
        if size > WORTH * new.layer.blob.size:
            return None
        with out.open("rb") as file:
            name = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
        self._registry.put_blob(image.repository, name, out, now_s=self._now_s)
        return Patch(digest=name, size=size, base=base.layer.diff_id, result=new.layer.diff_id)

    # --- in the registry

    def _stored(self, image: Image, found: Sequence[Patch]) -> str:
        """Store the artifact, and have it found; return its digest."""
        data = self._registry.manifest(image.repository, image.digest, now_s=self._now_s)
        if data is None:
            raise Passing(f"{image.repository}@{image.digest} is gone")
        empty = self._folder / "empty"
        empty.write_bytes(EMPTY)
        self._registry.put_blob(image.repository, digest(EMPTY), empty, now_s=self._now_s)
        made = patches_manifest(Blob(digest=image.digest, size=len(data)), found)
        self._registry.put_manifest(image.repository, digest(made), MANIFEST_TYPE, made, now_s=self._now_s)
        bases = frozenset(patch.base for patch in found)
        self._refer(image.repository, image.digest, added=[Referrer(digest=digest(made), size=len(made), bases=bases)])
        return digest(made)

    def _refer(
        self, repository: str, image: str, *, added: Sequence[Referrer] = (), removed: Sequence[str] = ()
    ) -> None:
        tag = referrers_tag(image)
        before = self._registry.manifest(repository, tag, now_s=self._now_s)
        index = referrers_index(before, added, removed=removed)
        if index == before:
            return
        self._registry.put_manifest(repository, tag, INDEX_TYPES[0], index, now_s=self._now_s)
        if before is not None:
            self._registry.delete(repository, f"manifests/{digest(before)}", now_s=self._now_s)

    def _drop(self, made: Made) -> None:
        if made.artifact:
            self._refer(made.repository, made.image, removed=[made.artifact])
            for path in (f"manifests/{made.artifact}", *(f"blobs/{blob}" for blob in made.blobs.split())):
                self._registry.delete(made.repository, path, now_s=self._now_s)
        with self._database.write() as tx:
            patches.forget(tx, made)
        log.info("dropped the patches from %s to %s", made.base, made.image)


def _images(spec: AppSpec) -> Mapping[str, Image]:
    return {name: service.image for name, service in spec.services.items() if service.image.plain is not None}


def _wanted(newest: AppSpec, others: Sequence[AppSpec]) -> list[tuple[Image, Image]]:
    """Return the pairs of new image and base: of each service what it was before, deployed releases first."""
    found: list[tuple[Image, Image]] = []
    for name, image in sorted(_images(newest).items()):
        before = (_images(spec).get(name) for spec in others)
        bases = {base.digest: base for base in before if base is not None and base.digest != image.digest}
        pairs = [(image, base) for base in list(bases.values())[:BASES_MAX] if base.repository == image.repository]
        found += [pair for pair in pairs if pair not in found]
    return found


def _superfluous(made: Sequence[Made], needed: set[str]) -> list[Made]:
    """Return the patches to let go: of images that no release needs, and the oldest where all are too many bytes."""
    gone = [each for each in made if each.image not in needed]
    left = [each for each in made if each.image in needed]
    while left and sum(each.bytes for each in left) > APP_BYTES_MAX:
        gone.append(left.pop(0))
    return gone
