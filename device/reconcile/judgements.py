"""What was learnt about releases: the last one of each app that worked, and the section digests that did not.

Kept on disk, so that a bad release is not tried again after a restart. A section's digest covers its variables and its
`attempt`, so a change of either gets a new try, and a change to another app never does.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from broker.files import write_durably
from broker.messages import AppSection

log = logging.getLogger(__name__)
BAD_MAX = 32  # of one instance; older ones could only come back by going back on purpose


class Judgement(BaseModel):
    """One instance's record."""

    model_config = ConfigDict(frozen=True)

    good: AppSection | None = None
    bad: Mapping[str, str] = {}


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True)

    instances: Mapping[str, Judgement] = {}


def choose(section: AppSection, judgement: Judgement) -> AppSection:
    """Return the section to run: the asked one, or the last good one when the asked one is known to be bad. Pure."""
    if section.digest in judgement.bad and judgement.good is not None and judgement.good.digest != section.digest:
        return judgement.good
    return section


class Judgements:
    """The record on disk; the reconcile thread owns it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._record = _Record()

    def load(self) -> None:
        """Read the record. A broken one is set aside: everything it knew can be learnt again."""
        try:
            self._record = _Record.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return
        except (ValidationError, ValueError) as error:
            log.error("%s is broken and set aside: %s", self._path, error)
            self._path.rename(self._path.with_suffix(".broken"))

    def of(self, instance: str) -> Judgement:
        return self._record.instances.get(instance, Judgement())

    def note_good(self, section: AppSection) -> None:
        """Remember that `section` works."""
        known = self.of(section.instance)
        if known.good is not None and known.good.digest == section.digest and section.digest not in known.bad:
            return
        bad = {digest: why for digest, why in known.bad.items() if digest != section.digest}
        self._write(section.instance, Judgement(good=section, bad=bad))

    def note_bad(self, section: AppSection, why: str) -> None:
        """Remember that `section` does not work, and why."""
        known = self.of(section.instance)
        assert section.digest is not None
        if section.digest in known.bad:
            return
        bad = dict(list(known.bad.items())[-(BAD_MAX - 1) :]) | {section.digest: why}
        self._write(section.instance, Judgement(good=known.good, bad=bad))

    def forget(self, instances: frozenset[str]) -> None:
        """Drop the records of instances that are no longer wanted."""
        gone = instances & self._record.instances.keys()
        if gone:
            self._save({name: known for name, known in self._record.instances.items() if name not in gone})

    @property
    def instances(self) -> frozenset[str]:
        return frozenset(self._record.instances)

    def _write(self, instance: str, judgement: Judgement) -> None:
        self._save({**self._record.instances, instance: judgement})

    def _save(self, instances: Mapping[str, Judgement]) -> None:
        """Write, then remember: what a restart would not know is not acted upon either."""
        record = _Record(instances=instances)
        write_durably(self._path, record.model_dump_json().encode())
        self._record = record
