"""The journal: what was begun, learnt and asked of each app, in a file that survives a power cut.

Written before the engine is touched, and before anything is concluded from it: what a restart would not know is not
acted upon either. What the engine holds is never in here; that is looked at. A lost journal costs knowledge, not apps:
what runs is judged anew.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, ValidationError

from broker.messages import AppSection

log = logging.getLogger(__name__)
BAD_MAX = 32  # of one instance; older ones could only come back by going back on purpose


class File(Protocol):
    """Where the journal lies: see `device.checked_file`."""

    def write(self, data: bytes) -> None: ...

    def read(self) -> bytes | None: ...

    def forget_previous(self) -> None: ...


class Entry(BaseModel):
    """One app instance's page."""

    model_config = ConfigDict(frozen=True)

    good: AppSection | None = None  # the newest that worked
    previous: AppSection | None = None  # the one that worked before it
    begun: AppSection | None = None  # what the engine is being brought to, and was not judged yet
    bad: Mapping[str, str] = {}  # digests of sections that did not work, and why
    paused: Mapping[str, str] = {}  # digests of sections whose update stopped half way, as their files ask, and why
    stopped: tuple[str, ...] = ()  # services that were stopped by request
    stopped_under: str = ""  # the digest of the section that was asked for then: with another one they may run again
    again: Mapping[str, int | None] = {}  # container ids to be started anew, each with the start it had before
    hooked: tuple[str, ...] = ()  # of which containers the post_start hooks have run
    restarts: Mapping[str, str] = {}  # restart policies that were set in place, by container id

    @property
    def current(self) -> AppSection | None:
        """Return what the engine holds or is being brought to."""
        return self.begun or self.good

    def stopped_for(self, section: AppSection) -> frozenset[str]:
        """Return the services that stay stopped while `section` is asked for."""
        return frozenset(self.stopped) if section.digest == self.stopped_under else frozenset()


class _Pages(BaseModel):
    model_config = ConfigDict(frozen=True)

    instances: Mapping[str, Entry] = {}


class Journal:
    """All pages; the reconcile thread owns them."""

    def __init__(self, file: File) -> None:
        self._file = file
        self._pages = _Pages()

    def load(self) -> None:
        """Read the pages. Broken ones are left where they are until the next write, and all is learnt anew."""
        data = self._file.read()
        if data is None:
            return
        try:
            self._pages = _Pages.model_validate_json(data)
        except (ValidationError, ValueError) as error:
            log.error("the journal is not usable, and begun anew: %s", error)

    @property
    def instances(self) -> frozenset[str]:
        return frozenset(self._pages.instances)

    def of(self, instance: str) -> Entry:
        return self._pages.instances.get(instance, Entry())

    def begin(self, section: AppSection) -> None:
        """Note that the engine is about to be brought to `section`."""
        known = self.of(section.instance)
        is_good = known.good is not None and known.good.digest == section.digest
        self.change(section.instance, begun=None if is_good else section)

    def note_good(self, section: AppSection) -> None:
        """Remember that `section` works, and the one that worked before."""
        known = self.of(section.instance)
        bad = {digest: why for digest, why in known.bad.items() if digest != section.digest}
        if known.good is not None and known.good.digest == section.digest:
            self.change(section.instance, begun=None, bad=bad)
        else:
            self.change(section.instance, good=section, previous=known.good, begun=None, bad=bad, paused={})

    def note_bad(self, section: AppSection, why: str) -> None:
        """Remember that `section` does not work, and why; what was begun is over."""
        known = self.of(section.instance)
        assert section.digest is not None
        bad = {digest: reason for digest, reason in known.bad.items() if digest != section.digest}
        bad = dict(list(bad.items())[-(BAD_MAX - 1) :]) | {section.digest: known.bad.get(section.digest, why)}
        self.change(section.instance, begun=None, bad=bad)

    def note_paused(self, section: AppSection, why: str) -> None:
        """Remember that the update to `section` stopped half way, as its file asks."""
        assert section.digest is not None
        self.change(section.instance, paused={section.digest: why})

    def change(self, instance: str, **fields: Any) -> None:
        """Change an instance's page, durably; nothing is written when nothing changes. Raises `StorageUnavailable`."""
        known = self.of(instance)
        page = known.model_copy(update=fields)
        if page != known:
            self._write({**self._pages.instances, instance: page})

    def forget(self, instances: frozenset[str]) -> None:
        """Drop the pages of instances of which nothing is left."""
        kept = {name: page for name, page in self._pages.instances.items() if name not in instances}
        if len(kept) < len(self._pages.instances):
            self._write(kept)

    def forget_previous(self) -> None:
        """Leave nothing on the disk of the apps that are forgotten."""
        self._file.forget_previous()

    def _write(self, instances: Mapping[str, Entry]) -> None:
        pages = _Pages(instances=instances)
        self._file.write(pages.model_dump_json(exclude_defaults=True).encode())
        self._pages = pages
