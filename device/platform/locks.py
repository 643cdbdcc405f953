"""The update locks of this device's apps: looked at when somebody asks, watched while somebody waits.

An app has a lock through a file in its own folder or through a Redis key of its own; each counts for itself, and the
longer one is what is told. Holds are written down with the boot they belong to, so that a worker that starts again
does not give them their time anew.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

from broker.clock import Clock
from broker.files import StorageUnavailable, write_durably
from device.platform import lock_folder
from device.platform.lock_holds import Hold, after_look, remaining_s
from device.platform.lock_text import BYTES_MAX, Wish, wish_of
from device.reconcile.lock import HeldLock
from device.telemetry.accounts import lock_key_of
from device.telemetry.connection import Client, RedisUnavailable

log = logging.getLogger(__name__)

WATCH_EVERY_S = 1.0  # while an update waits: what an app waits for its update after it gave way
ASKED_WITHIN_S = 1800.0  # reconcile asks every quarter of an hour at least; who has not for so long waits no more
SILENT_MAX_S = 60.0  # for so long an intake that does not answer holds an update up, once
SILENT = Wish("worker", "the intake does not answer, so its locks are not known", SILENT_MAX_S, "silent")
INSIDE = "/run/skerry-lock"


class Locks:
    """Owns the lock folders below `root`, and what is known of each hold."""

    def __init__(
        self,
        root: Path,
        *,
        intake: Client,
        memory: Path,
        boot: str,
        max_s: float,
        clock: Clock,
        freed: Callable[[], None],
    ) -> None:
        self._root = root
        self._intake = intake
        self._memory = memory
        self._boot = boot
        self._max_s = max_s
        self._clock = clock
        self._freed = freed
        self._lock = threading.Lock()
        self._writing = threading.Lock()  # of the file alone: two threads may have seen something new
        self._with_keys: frozenset[str] = frozenset()
        self._holds: dict[str, Hold] = {}
        self._waiting: dict[str, float] = {}
        self._news = threading.Event()

    def load(self) -> None:
        """Take up the holds of a worker that ran before in the same boot."""
        try:
            kept = json.loads(self._memory.read_bytes())
            if kept["boot"] == self._boot:
                self._holds = {str(key): Hold(**hold) for key, hold in kept["holds"].items()}
        except (FileNotFoundError, ValueError, TypeError, KeyError, AttributeError):
            self._holds = {}

    # --- the reconcile thread

    def folder(self, instance: str) -> Path:
        return self._root / instance

    def prepare(self, instances: Iterable[str], *, with_keys: Iterable[str]) -> None:
        """Make the folders of these instances; `with_keys` are those that may also lock by Redis."""
        self._with_keys = frozenset(with_keys)
        for instance in instances:
            lock_folder.prepare(self.folder(instance))

    @property
    def folders(self) -> frozenset[str]:
        """Return the instances that have a folder."""
        return frozenset(folder.name for folder in self._root.iterdir()) if self._root.is_dir() else frozenset()

    def forget(self, present: Container[str]) -> None:
        """Drop everything of instances that are not among `present`."""
        for instance in self.folders:
            if instance not in present:
                lock_folder.discard(self.folder(instance))

    def lock_of(self, instance: str) -> HeldLock | None:
        """Return the lock that an instance holds now. Who gets one is woken by `freed` when it ends."""
        held = self._look(instance)
        with self._lock:
            if held is None:
                self._waiting.pop(instance, None)
            else:
                self._waiting[instance] = self._clock.monotonic()
                self._news.set()
        return held

    # --- its own thread

    def run(self, stopping: threading.Event) -> None:
        """Watch the locks that somebody waits for until `stopping`; wake it to end it."""
        while not stopping.is_set():
            if not self.watch_once():
                self._news.wait()
                self._news.clear()
            else:
                stopping.wait(WATCH_EVERY_S)

    def wake(self) -> None:
        self._news.set()

    def watch_once(self) -> bool:
        """Look at the locks that somebody waits for, and tell of those that ended; return whether any is left."""
        now = self._clock.monotonic()
        with self._lock:
            self._waiting = {key: at for key, at in self._waiting.items() if now - at < ASKED_WITHIN_S}
            waiting = list(self._waiting)
        ended = [instance for instance in waiting if self._look(instance) is None]
        with self._lock:
            for instance in ended:
                self._waiting.pop(instance, None)
        if ended:
            self._freed()
        return len(ended) < len(waiting)

    # --- both

    def _look(self, instance: str) -> HeldLock | None:
        now = self._clock.monotonic()
        wishes = {f"file {instance}": lock_folder.read(self.folder(instance))}
        if instance in self._with_keys:
            wishes |= self._in_redis(instance)
        with self._lock:
            before = {key: self._holds.get(key) for key in wishes}
            held = [found for key, wish in wishes.items() if (found := self._after(key, wish, now)) is not None]
            is_news = any(_told(before[key]) != _told(self._holds.get(key)) for key in wishes)
        if is_news:
            self._remember()
        return max(held, key=lambda lock: lock.remaining_s, default=None)

    def _in_redis(self, instance: str) -> dict[str, Wish | None]:
        silent = f"silent {instance}"
        try:
            found = self._intake.text(lock_key_of(instance), bytes_max=BYTES_MAX)
        except RedisUnavailable:
            return {silent: SILENT}
        return {silent: None, f"redis {instance}": wish_of(found, identity="redis") if found is not None else None}

    def _after(self, key: str, wish: Wish | None, now: float) -> HeldLock | None:
        hold = after_look(self._holds.get(key), wish, now=now)
        if hold is None or wish is None:
            self._holds.pop(key, None)
            return None
        self._holds[key] = hold
        left = remaining_s(hold, wish, max_s=self._max_s, now=now)
        return HeldLock(owner=wish.owner, reason=wish.reason, remaining_s=left) if left > 0 else None

    def _remember(self) -> None:
        with self._writing:
            with self._lock:
                holds = {key: asdict(hold) for key, hold in self._holds.items()}
            try:
                write_durably(self._memory, json.dumps({"boot": self._boot, "holds": holds}).encode())
            except StorageUnavailable as error:
                log.warning("locks are not written down: %s", error)


def environment(instance: str, *, with_key: bool) -> Mapping[str, str]:
    """Return what a service that asks for the lock finds in its environment."""
    return {"SKERRY_LOCK_DIR": INSIDE} | ({"SKERRY_LOCK_KEY": lock_key_of(instance)} if with_key else {})


def _told(hold: Hold | None) -> tuple[str, float, float] | None:
    return None if hold is None else (hold.value, hold.began, hold.since)
