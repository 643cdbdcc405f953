"""Sinks: samples handed on to other systems, each at least once and in the order in which they came.

What a sink is stands in `sinks.toml` in the state folder; how far it is, in the database. A kind of sink is an entry
point of the group `skerry.sinks`: a callable that takes the sink's own settings and returns a `Sink`.
"""

from __future__ import annotations

import logging
import random
import threading
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel, ConfigDict, ValidationError

from broker.backoff import Backoff
from broker.clock import Clock
from broker.codec import first_error
from broker.errors import Passing, Refused
from broker.ids import Name
from broker.payloads import SAMPLES, Sample, unpack_samples
from cloud.decoded import Bounds, parse_cursor, sample_shown, stretch
from cloud.store import batches, orgs, sinks
from cloud.store.batches import Of
from cloud.store.database import Database

log = logging.getLogger(__name__)

GROUP = "skerry.sinks"
BOUNDS = Bounds(elements=5_000, batches=500, size=2 * 1024 * 1024)  # of what is handed on at once
PAGE = 64
LOOK_S = 2.0
AGAIN = Backoff(first_s=1.0, max_s=300.0)


class Sink(Protocol):
    """Another system. It gets the same samples again when its answer was lost."""

    def send(self, samples: Sequence[Mapping[str, object]], *, cursor: str) -> None:
        """Hand samples on and return once they are safe there; raise `Passing` otherwise.

        `cursor` names these samples: what comes again has the same one, or begins where it began.
        """


class SinkSettings(BaseModel):
    """A `[[sink]]` table. Further keys are the sink's own."""

    model_config = ConfigDict(frozen=True, extra="allow")

    name: Name
    kind: str
    org: Name
    streams: str = ""  # the beginning of the names of those that are wanted


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    sink: tuple[SinkSettings, ...] = ()


@dataclass(frozen=True)
class Made:
    """A sink with what it was made from."""

    settings: SinkSettings
    sink: Sink


def read(path: Path) -> list[Made]:
    """Make the sinks of a file, none where there is no file; raise `Refused` (`bad_sinks`) naming what is wrong."""
    try:
        found = _File.model_validate(tomllib.loads(path.read_text()))
    except FileNotFoundError:
        return []
    except ValidationError as error:
        raise Refused("bad_sinks", f"{path}: {first_error(error)}") from error
    except (ValueError, RecursionError) as error:
        raise Refused("bad_sinks", f"{path}: {error}") from error
    names = [one.name for one in found.sink]
    if len(set(names)) < len(names):
        raise Refused("bad_sinks", f"{path}: two sinks have the same name")
    return [Made(one, _made(one, path)) for one in found.sink]


def _made(settings: SinkSettings, path: Path) -> Sink:
    kinds = {entry.name: entry for entry in entry_points(group=GROUP)}
    if settings.kind not in kinds:
        known = ", ".join(sorted(kinds)) or "none"
        raise Refused("bad_sinks", f"{path}: sink {settings.name}: there is no kind {settings.kind!r}, only {known}")
    try:
        sink: Sink = kinds[settings.kind].load()(settings.model_extra or {})
    except Refused as error:
        raise Refused("bad_sinks", f"{path}: sink {settings.name}: {error}") from error
    return sink


class Feeder:
    """Feeds one sink. Its place in the samples moves only after the sink has answered."""

    def __init__(self, database: Database, made: Made, clock: Clock) -> None:
        self._database = database
        self._settings = made.settings
        self._sink = made.sink
        self._clock = clock
        self._failed = 0

    def run(self, stopping: threading.Event) -> None:
        """Feed until `stopping`."""
        while not stopping.is_set():
            try:
                wait_s = 0.0 if self.feed() else LOOK_S
                self._failed = 0
            except Passing as error:
                if not self._failed:
                    log.warning("sink %s: %s", self._settings.name, error)
                self._told(str(error))
                wait_s = AGAIN.delay_s(self._failed, random.random())  # noqa: S311 - spread, not secrecy
                self._failed += 1
            stopping.wait(wait_s)

    def feed(self) -> bool:
        """Hand on what comes next; return whether there may be more at once. Raises `Passing`."""
        with self._database.read() as tx:
            org = orgs.named(tx, self._settings.org)
            if org is None:
                raise Passing(f"there is no organisation {self._settings.org!r}")
            after = sinks.cursor(tx, self._settings.name)
            of = Of(org.org, SAMPLES)
            found, following, more = stretch(
                lambda arrival: batches.from_arrival(tx, of, at_least=arrival, limit=PAGE),
                unpack_samples,
                after=parse_cursor(after),
                bounds=BOUNDS,
                wanted=lambda sample: sample,
                size_of=_size,
            )
        wanted = [element for element in found if element.batch.stream.startswith(self._settings.streams)]
        if wanted:
            self._sink.send([sample_shown(element) for element in wanted], cursor=after or "0.0")
        if str(following) != after:
            with self._database.write() as tx:
                sinks.put(tx, self._settings.name, cursor=str(following), error="", now_ms=self._clock.wall_ms())
        return more

    def _told(self, error: str) -> None:
        """Write down that the sink fails, for who asks."""
        try:
            with self._database.write() as tx:
                after, now_ms = sinks.cursor(tx, self._settings.name), self._clock.wall_ms()
                sinks.put(tx, self._settings.name, cursor=after, error=error[:500], now_ms=now_ms)
        except Passing:
            return


def _size(sample: Sample) -> int:
    return sum(len(name) + len(value) for name, value in sample.fields.items())
