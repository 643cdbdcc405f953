"""Which images stay: those of the release that runs and of the one before it, of every app; and what is under way.

Nothing is removed that this worker did not fetch: what it fetched has a record in the store, by the name under which
the engine knows it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from broker.errors import Passing, Refused
from broker.files import write_durably
from broker.ids import Digest
from broker.messages import AppSection
from device.engine.port import Engine
from device.images.fetcher import Fetcher, name_of
from device.images.store import Store

log = logging.getLogger(__name__)


class _Releases(BaseModel):
    """The release manifests of one instance's release that runs, and of the one before."""

    model_config = ConfigDict(frozen=True)

    current: frozenset[Digest] = frozenset()
    previous: frozenset[Digest] = frozenset()


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True)

    instances: Mapping[str, _Releases] = {}


@dataclass(frozen=True)
class Freed:
    """What a sweep removed: images from the engine, bytes from the store."""

    images: int
    bytes: int


class Keeper:
    """Owns the record; the reconcile thread alone calls it."""

    def __init__(self, path: Path, *, store: Store, fetcher: Fetcher, engine: Engine, address: str) -> None:
        self._path = path
        self._store = store
        self._fetcher = fetcher
        self._engine = engine
        self._address = address
        self._record: _Record | None = None

    def settled(self, sections: Sequence[AppSection], *, wanted: frozenset[str]) -> Freed | None:
        """Learn which apps work as they are, and which are wanted at all; clear away when that changed anything."""
        known = self._load().instances
        instances = {name: releases for name, releases in known.items() if name in wanted}
        for section in sections:
            plains = frozenset(s.image.plain for s in section.spec.services.values() if s.image.plain is not None)
            before = instances.get(section.instance, _Releases())
            if plains != before.current:
                instances[section.instance] = _Releases(current=plains, previous=before.current)
        if instances == known:
            return None
        record = _Record(instances=instances)
        write_durably(self._path, record.model_dump_json().encode())
        self._record = record
        return self.sweep()

    def sweep(self) -> Freed | None:
        """Remove what no release needs any more; None while an image is being fetched. Volumes are nobody's here."""
        if not self._fetcher.busy.acquire(blocking=False):
            return None
        try:
            return self._swept()
        finally:
            self._fetcher.busy.release()

    def _swept(self) -> Freed:
        self._store.prepare()
        releases = self._load().instances.values()
        keep = {plain for each in releases for plain in (*each.current, *each.previous)} | self._fetcher.plains
        removed = 0
        for kept in self._store.images():
            if kept.plain in keep:
                continue
            try:
                self._engine.remove_image(name_of(self._address, kept))
            except (Passing, Refused) as error:  # a container still has it, or the engine is away: another time
                log.info("image %s stays: %s", kept.plain, error)
                continue
            self._store.forget_image(kept.plain)
            removed += 1
        blobs = {blob for kept in self._store.images() for blob in kept.blobs} | self._fetcher.blobs()
        freed = Freed(removed, self._store.drop(blobs))
        if freed.images or freed.bytes:
            log.info("removed %d images, freed %d bytes of blobs", freed.images, freed.bytes)
        return freed

    def _load(self) -> _Record:
        if self._record is None:
            try:
                self._record = _Record.model_validate_json(self._path.read_bytes())
            except FileNotFoundError:
                self._record = _Record()
            except (ValidationError, ValueError, OSError) as error:
                log.error("%s is broken; what runs is learnt again: %s", self._path, error)
                self._record = _Record()
        return self._record


def remove_all(store: Store, engine: Engine, *, address: str) -> int:
    """Remove every image that was fetched, and all blobs: the device is given up. Return how many images."""
    store.prepare()
    images = store.images()
    for kept in images:
        engine.remove_image(name_of(address, kept))
        store.forget_image(kept.plain)
    store.drop(())
    return len(images)
