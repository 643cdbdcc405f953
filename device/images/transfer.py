"""Transfers: several blobs at once, each from the byte where it stopped, until all are whole or nothing moves."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from broker.backoff import Backoff
from broker.errors import Passing, Refused, Waiting
from broker.files import StorageUnavailable
from device.images.parts import PartialBlob
from device.images.source import Span, TryLater
from device.images.sources import Sources
from device.images.store import BadBlob, Store

log = logging.getLogger(__name__)
LINES = 3  # blobs at once: layers are few and the link is narrow; more only shares it
FRUITLESS_MAX = 4  # tries in a row without a byte, before whoever asked is told
RETRY = Backoff(first_s=0.3, max_s=15.0)
TELL_S = 0.5  # how often progress is told, also when there is none: it is when a transfer can be stopped

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Want:
    """One blob to fetch. `unpacked_max` bounds what its tar may be."""

    repository: str
    digest: str
    size: int
    unpacked_max: int


class Transfer:
    """One run over some blobs. Everything that arrived stays, whatever ends it."""

    def __init__(self, sources: Sources, store: Store, wants: Sequence[Want]) -> None:
        self._sources = sources
        self._store = store
        self._waiting = list(wants)
        self._total = sum(want.size for want in wants)
        self._lock = threading.Lock()
        self._done: dict[str, int] = {}
        self._error: Exception | None = None
        self._ending = threading.Event()
        self._moved = threading.Condition()
        self._running = 0

    def run(self, progress: Progress) -> None:
        """Fetch all; `progress(done, total)` may raise to stop it. Raises what the first blob failed by."""
        threads = [threading.Thread(target=self._line, name=f"blob-{n}", daemon=True) for n in range(LINES)]
        self._running = len(threads)
        for thread in threads:
            thread.start()
        try:
            while not self._wait():
                progress(self._progressed(), self._total)
            progress(self._progressed(), self._total)
        finally:
            self._ending.set()
            self._sources.interrupt()
            for thread in threads:
                thread.join()
        if self._error is not None:
            raise self._error

    def _wait(self) -> bool:
        """Wait a moment; return whether all lines have ended."""
        with self._moved:
            self._moved.wait_for(lambda: not self._running, timeout=TELL_S)
            return not self._running

    def _progressed(self) -> int:
        with self._lock:
            return sum(self._done.values())

    def _line(self) -> None:
        """Fetch blobs until none is left."""
        try:
            while not self._ending.is_set() and (want := self._next()) is not None:
                self._fetch(want)
        except Exception as error:  # noqa: BLE001 - raised again by `run`, on the thread that asked
            with self._lock:
                self._error = self._error or error
            self._ending.set()
            self._sources.interrupt()
        finally:
            with self._moved:
                self._running -= 1
                self._moved.notify_all()

    def _next(self) -> Want | None:
        with self._lock:
            return self._waiting.pop(0) if self._waiting else None

    def _fetch(self, want: Want) -> None:
        fruitless = 0
        with self._store.arriving(want.digest, want.size) as partial:
            self._note(want, partial)
            while not self._ending.is_set():
                before = partial.done
                try:
                    self._try(want, partial)
                    return
                except Refused as error:
                    if not self._sources.doubt(want.digest, error):
                        raise
                    self._note(want, partial)
                except Passing as error:
                    moved = partial.done > before or isinstance(error, BadBlob)
                    fruitless = 0 if moved else fruitless + 1
                    if fruitless >= FRUITLESS_MAX or isinstance(error, (StorageUnavailable, Waiting)):
                        raise
                    log.info("%s: %s; %d of %d bytes are here", want.digest, error, partial.done, want.size)
                    self._ending.wait(_pause_s(error, fruitless))

    def _try(self, want: Want, partial: PartialBlob) -> None:
        for start, end in partial.missing():
            at = start
            for chunk in self._sources.chunks(Span(want.repository, want.digest, start, end, want.size)):
                partial.write(at, chunk)
                at += len(chunk)
                self._note(want, partial)
                if self._ending.is_set():
                    return
        self._store.finish(want.digest, partial, unpacked_max=want.unpacked_max)

    def _note(self, want: Want, partial: PartialBlob) -> None:
        with self._lock:
            self._done[want.digest] = partial.done


def _pause_s(error: Passing, fruitless: int) -> float:
    if isinstance(error, TryLater):
        return error.after_s
    return RETRY.delay_s(fruitless + 1, random.random())  # noqa: S311 - spread, not secrecy
