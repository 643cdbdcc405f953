"""All places where blobs may come from, the nearest first: a bundle, mirrors on the site, the cloud's registry.

No place but the registry is asked for anything but bytes under a digest, and none is believed: a mirror that is away,
lacks a blob or sends something else costs a moment, and the next place is asked. One that sent wrong bytes is left out
for a day, and the blob comes from the registry alone.
"""

from __future__ import annotations

import logging
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol
from urllib.parse import urlsplit

from broker.canonical import digest as digest_of
from broker.errors import Passing, Refused
from device.images.meter import Meter
from device.images.source import LinkLost, Registry, Span

log = logging.getLogger(__name__)
ASIDE_S = 60.0  # a mirror that is away costs a connection's time-out; not for every blob
WRONG_ASIDE_S = 86_400.0
DOUBTED_MAX = 4096
SMALL_BYTES = 64 * 1024  # what a manifest or config is taken to have before it is here
BUNDLE = "the bundle"


class Place(Protocol):
    """Somewhere that may have the bytes of a digest."""

    def manifest(self, repository: str, digest: str, *, size_max: int) -> bytes: ...

    def small_blob(self, repository: str, digest: str, *, size_max: int) -> bytes: ...

    def chunks(self, span: Span) -> Iterator[bytes]: ...

    def interrupt(self) -> None: ...


class Bundled(Place, Protocol):
    """A place that can tell at once what it has."""

    def has(self, digest: str) -> bool: ...


class Sources:
    """The registry and what is nearer. Any thread may use it; `use_mirrors` says which mirrors there are."""

    def __init__(
        self, home: Registry, *, meter: Meter | None = None, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.home = home
        self._meter = meter
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._mirrors: dict[str, Registry] = {}
        self._bundle: Bundled | None = None
        self._aside: dict[str, float] = {}
        self._doubted: set[str] = set()  # blobs that came wrong while mirrors were asked
        self._interrupts = 0
        self.bundle_wrong = ""  # a blob that came wrong while a bundle was asked

    def use_mirrors(self, urls: Sequence[str]) -> None:
        """Ask these mirrors from now on, in this order."""
        with self._lock:
            if tuple(urls) == tuple(self._mirrors):
                return
            left = [mirror for url, mirror in self._mirrors.items() if url not in urls]
            self._mirrors = {url: self._mirrors.get(url) or self._mirror(url) for url in urls}
            self._aside.clear()
            self._doubted.clear()
        for mirror in left:
            mirror.interrupt()

    def use_bundle(self, bundle: Bundled | None) -> None:
        """Ask this one before all others; what waits for the registry's link asks again at once."""
        with self._lock:
            self._bundle, self.bundle_wrong = bundle, ""
            self._aside.clear()
            self._doubted.clear()
        if bundle is not None:
            self.home.interrupt()

    @property
    def has_mirrors(self) -> bool:
        with self._lock:
            return bool(self._mirrors)

    def is_bundled(self, digest: str) -> bool:
        """Return whether a bundle in use has a blob: then it costs no link at all."""
        with self._lock:
            return self._bundle is not None and digest not in self._doubted and self._bundle.has(digest)

    def listing(self, repository: str, tag: str, *, size_max: int) -> bytes:
        """Return what the registry has under a tag; nobody else can vouch for it."""
        return self._metered(lambda: self.home.manifest(repository, tag, size_max=size_max))

    def manifest(self, repository: str, digest: str, *, size_max: int) -> bytes:
        """Return the bytes under a manifest's digest; what the registry itself sends is unchecked."""
        return self._small(digest, lambda place: place.manifest(repository, digest, size_max=size_max))

    def small_blob(self, repository: str, digest: str, *, size_max: int) -> bytes:
        return self._small(digest, lambda place: place.small_blob(repository, digest, size_max=size_max))

    def chunks(self, span: Span) -> Iterator[bytes]:
        """Yield exactly the bytes of a span, in pieces."""
        at, interrupts = span.start, self._interrupts
        for name, place in self._near(span.digest):
            try:
                for chunk in place.chunks(replace(span, start=at)):
                    at += len(chunk)
                    yield chunk
                return
            except (Passing, Refused) as error:
                if at > span.start:
                    raise LinkLost(f"{name}: {error}") from error  # it lives: whoever asked goes on from here
                self._failed(name, error, interrupts)
        try:
            yield from self._from_home(replace(span, start=at))
        except LinkLost as error:
            if span.digest not in self._doubted:
                raise
            raise LinkLost(f"{error}; what a bundle or a mirror sent as {span.digest} is damaged") from error

    def _from_home(self, span: Span) -> Iterator[bytes]:
        """Yield what comes over the link to the cloud: no more of it than the link policy allows."""
        meter = self._meter
        if meter is None:
            yield from self.home.chunks(span)
            return
        at = span.start
        while at < span.end:
            granted = meter.take(span.end - at)
            end = at + granted
            try:
                for chunk in self.home.chunks(replace(span, start=at, end=end)):
                    at += len(chunk)
                    meter.moved(len(chunk))
                    yield chunk
            finally:
                meter.settle(end - at)

    def doubt(self, digest: str, error: Refused) -> bool:
        """Tell that a blob came wrong; return whether it is worth another try, from the registry alone."""
        with self._lock:
            has_near = bool(self._mirrors) or self._bundle is not None
            if error.reason != "wrong_bytes" or not has_near or digest in self._doubted:
                return False
            if len(self._doubted) >= DOUBTED_MAX:
                self._doubted.clear()
            self._doubted.add(digest)
            if self._bundle is not None:
                self.bundle_wrong = digest
        log.warning("%s came wrong from a bundle or a mirror: it is fetched from the registry", digest)
        return True

    def interrupt(self) -> None:
        """End every transfer that is under way, from another thread."""
        self._interrupts += 1
        with self._lock:
            places = [self.home, *self._mirrors.values()]
        for place in places:
            place.interrupt()

    def _small(self, digest: str, ask: Callable[[Place], bytes]) -> bytes:
        interrupts = self._interrupts
        for name, place in self._near(digest):
            try:
                data = ask(place)
            except (Passing, Refused) as error:
                self._failed(name, error, interrupts)
                continue
            if digest_of(data) == digest:
                return data
            self._set_aside(name, WRONG_ASIDE_S, "it sent other bytes than asked for")
        return self._metered(lambda: ask(self.home))

    def _metered(self, ask: Callable[[], bytes]) -> bytes:
        """Return what the registry sends, counted and allowed by the link policy."""
        if self._meter is None:
            return ask()
        granted, data = self._meter.take(SMALL_BYTES), b""
        try:
            data = ask()
        finally:
            self._meter.settle(max(0, granted - len(data)))
        return data

    def _near(self, digest: str) -> list[tuple[str, Place]]:
        now = self._monotonic()
        with self._lock:
            if digest in self._doubted:
                return []
            near: list[tuple[str, Place]] = [] if self._bundle is None else [(BUNDLE, self._bundle)]
            near += self._mirrors.items()
            return [(name, place) for name, place in near if self._aside.get(name, 0.0) <= now]

    def _failed(self, name: str, error: Passing | Refused, interrupts: int) -> None:
        if self._interrupts != interrupts:
            raise error
        if not isinstance(error, Refused) or error.reason != "missing_blob":
            self._set_aside(name, ASIDE_S, str(error))

    def _set_aside(self, name: str, for_s: float, why: str) -> None:
        log.info("%s is not asked for %d s: %s", name, for_s, why)
        with self._lock:
            self._aside[name] = self._monotonic() + for_s

    def _mirror(self, url: str) -> Registry:
        parts = urlsplit(url)
        return Registry(
            parts.netloc + parts.path.rstrip("/"),
            ssl.create_default_context if parts.scheme == "https" else None,
            self.home.token,
            stall_s=self.home.stall_s,
            connect_s=self.home.connect_s,
            is_open=True,
        )
