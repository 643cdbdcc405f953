"""Fetches images on a thread of its own, one at a time: supervision never waits for a transfer.

What is wanted is the newest wish: an image that nobody wants any more is left at the next sign of progress.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from broker.backoff import Backoff
from broker.clock import Clock
from broker.errors import Passing, Refused, Waiting

RETRY = Backoff(first_s=1.0, max_s=60.0)

Pull = Callable[[str, Callable[[int, int], None]], None]


class _NotWanted(Exception):
    """The image under way is not wanted any more, or the worker ends."""


@dataclass
class _Failure:
    error: str
    count: int
    retry_at: float
    waits: str  # why it is not tried now though nothing failed


class Fetcher:
    """`pull(image, progress)` fetches one; `progress(instance, done, total)` is told; `wake()` when one ended."""

    def __init__(
        self, pull: Pull, *, progress: Callable[[str, int, int], None], wake: Callable[[], None], clock: Clock
    ) -> None:
        self._pull = pull
        self._progress = progress
        self._wake = wake
        self._clock = clock
        self._lock = threading.Lock()
        self._changed = threading.Event()
        self._wanted: dict[str, str] = {}
        self._failures: dict[str, _Failure] = {}

    def want(self, images: Mapping[str, str]) -> None:
        """Say which images are wanted, each with the app instance it is for. What was wanted before is not."""
        with self._lock:
            if dict(images) == self._wanted:
                return
            self._wanted = dict(images)
            self._failures = {image: failure for image, failure in self._failures.items() if image in images}
        self._changed.set()

    def error(self, image: str) -> str:
        """Return why the last try to fetch an image failed, or an empty string."""
        with self._lock:
            failure = self._failures.get(image)
        return failure.error if failure is not None else ""

    def waits(self, image: str) -> str:
        """Return for what reason an image has to wait though nothing failed, or an empty string."""
        with self._lock:
            failure = self._failures.get(image)
        return failure.waits if failure is not None else ""

    def retry_now(self) -> None:
        with self._lock:
            for failure in self._failures.values():
                failure.retry_at = 0.0
        self._changed.set()

    def poke(self) -> None:
        """Wake the thread so that it can end."""
        self._changed.set()

    def run(self, stopping: threading.Event) -> None:
        """Fetch until `stopping`; poke it to end."""
        while not stopping.is_set():
            self._changed.clear()
            pause_s = self.turn(stopping)
            self._changed.wait(pause_s)

    def turn(self, stopping: threading.Event) -> float | None:
        """Fetch everything that is due; return after how many seconds the next is, or None when nothing is wanted."""
        while (image := self._due()) is not None and not stopping.is_set():
            try:
                self._fetch(image, stopping)
            except _NotWanted:
                continue
            except (Passing, Refused) as error:
                self._failed(image, str(error), error.reason if isinstance(error, Waiting) else "")
            self._wake()
        with self._lock:
            waits = [self._failures[image].retry_at for image in self._wanted if image in self._failures]
        return max(0.0, min(waits) - self._clock.monotonic()) if waits else None

    def _due(self) -> str | None:
        now = self._clock.monotonic()
        with self._lock:
            due = [i for i in self._wanted if i not in self._failures or self._failures[i].retry_at <= now]
        return due[0] if due else None

    def _fetch(self, image: str, stopping: threading.Event) -> None:
        def told(done: int, total: int) -> None:
            with self._lock:
                instance = self._wanted.get(image)
            if instance is None or stopping.is_set():
                raise _NotWanted
            self._progress(instance, done, total)

        self._pull(image, told)
        with self._lock:
            self._wanted.pop(image, None)
            self._failures.pop(image, None)

    def _failed(self, image: str, error: str, waits: str) -> None:
        with self._lock:
            count = self._failures[image].count + 1 if image in self._failures else 1
            retry_at = self._clock.monotonic() + RETRY.delay_s(count, 1.0)
            self._failures[image] = _Failure(error, count, retry_at, waits)
