"""Reported state: the newest status with its revision, sent when it changes and again until a sync shows it held."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from broker.backoff import Backoff
from broker.channels import PROGRESS, STATUS
from broker.clock import Clock
from broker.errors import Refused
from broker.messages import Condition, Generation, InstanceStatus, Progress, Status
from device.uplink import Make, Uplink

COALESCE_S = 0.1  # what is learnt in one moment leaves as one status, unless it must be told at once
GAP_S = 0.25  # between two statuses: each says all, so what comes in a burst need not be told one by one
AGAIN = Backoff(first_s=2.0, max_s=30.0)
PROGRESS_EVERY_S = 1.0
INSTANCES_MAX = 128  # of a shortened status
REVISIONS_PER_RUN = 2**20  # revisions of a run start at (connections so far) x this: they grow over restarts, unsaved


@dataclass(frozen=True)
class Content:
    """Everything of a status but its envelope."""

    accepted: Generation | None = None
    conditions: Mapping[str, Condition] = field(default_factory=dict)
    instances: tuple[InstanceStatus, ...] = ()


class Reporter:
    """Owns the reported state. Others change parts of it from any thread."""

    def __init__(
        self,
        uplink: Uplink,
        *,
        clock: Clock,
        disk_free: Callable[[], int | None],
        link: Callable[[], Mapping[str, int]] = dict,
        changed: Callable[[Content, Content], None] = lambda old, new: None,
    ) -> None:
        self._uplink = uplink
        self._clock = clock
        self._disk_free = disk_free
        self._link = link
        self._changed = changed  # told what was and what is, in order
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._content = Content()
        self._revision = 0
        self._base = 0
        self._held = 0
        self._again = True
        self._ready = False
        self._due: float | None = None  # when the first change that was not sent leaves
        self._progress_at = 0.0

    # --- any thread

    def ready(self) -> None:
        """Say that the engine has been looked at: before that, an empty status would say that nothing runs."""
        self._ready = True
        self._wake.set()

    def started_after(self, connections: int) -> None:
        """Tell how many connections were made before this run's first status."""
        with self._lock:
            if self._base == 0:
                self._base = connections * REVISIONS_PER_RUN
                self._revision += self._base

    def accepted(self, generation: Generation | None) -> None:
        self._change(lambda old: replace(old, accepted=generation))

    def condition(self, *conditions: Condition) -> None:
        """Set conditions by their types."""
        self._change(lambda old: _with(old, conditions))

    def found(self, conditions: Sequence[Condition], instances: tuple[InstanceStatus, ...] | None) -> None:
        """Take what a round of reconcile found, as one change and the whole of it: it leaves at once.

        `instances` None: what was known of them stays, as the engine showed nothing.
        """
        self._change(
            lambda old: replace(_with(old, conditions), instances=old.instances if instances is None else instances),
            is_urgent=True,
        )

    def died(self, container_id: str, exit_code: int | None) -> None:
        """Tell at once that a container of an app at rest has ended; what comes of it the next round says."""
        self._change(
            lambda old: replace(old, instances=tuple(_ended(i, container_id[:12], exit_code) for i in old.instances)),
            is_urgent=True,
        )

    def progress(self, instance: str, done: int, total: int, *, saved: int = 0) -> None:
        """Tell how far a pull is; dropped when one was told within the last second."""
        now = self._clock.monotonic()
        if now - self._progress_at < PROGRESS_EVERY_S:
            return
        self._progress_at = now
        self._uplink.send(
            PROGRESS,
            lambda conn, n: Progress(
                conn=conn, n=n, instance=instance, phase="pull", done=done, total=total, saved=saved
            ),
        )

    def link_up(self) -> None:
        self._again = True
        self._wake.set()

    def held(self, revision: int) -> None:
        """A sync says which revision the cloud holds: less than before when its database came from a backup."""
        if revision != self._held:
            self._held = revision
            self._wake.set()

    @property
    def revision(self) -> int:
        return self._revision

    def sealed(self) -> bytes | None:
        """Return the status as it would be sent now, to be carried as a file; None while there is none."""
        with self._lock:
            revision, content = self._revision, self._content
        if not self._ready:
            return None
        try:
            return self._uplink.sealed(STATUS, self._maker(revision, content))
        except Refused:
            return self._uplink.sealed(STATUS, self._maker(revision, _shortened(content)))

    def poke(self) -> None:
        self._wake.set()

    # --- its own thread

    def run(self, stopping: threading.Event) -> None:
        """Send statuses until `stopping`; poke it to end."""
        sent, sent_at, tries = 0, -GAP_S, 0
        while not stopping.is_set():
            now = self._clock.monotonic()
            if self._again:
                self._again, sent, sent_at, tries = False, 0, -GAP_S, 0
            waiting_s = 600.0  # whoever changes something wakes
            if self._ready and self._revision > self._held and self._uplink.connected:
                if sent != self._revision:
                    due = max(sent_at + GAP_S, self._due or 0.0)
                else:
                    due = sent_at + AGAIN.delay_s(tries, 1.0)
                if now >= due:
                    revision = self._revision
                    if self._send(revision):
                        tries = tries + 1 if sent == revision else 0
                        sent, sent_at = revision, now
                    waiting_s = AGAIN.delay_s(tries, 1.0)
                else:
                    waiting_s = due - now
            elif self._revision > self._held:
                waiting_s = 1.0
            self._wake.wait(waiting_s)
            self._wake.clear()

    def _change(self, change: Callable[[Content], Content], *, is_urgent: bool = False) -> None:
        due = self._clock.monotonic() + (0.0 if is_urgent else COALESCE_S)
        with self._lock:
            old, content = self._content, change(self._content)
            if content == old and self._revision:
                return
            self._content = content
            self._revision += 1
            self._due = due if self._due is None else min(due, self._due)
            self._changed(old, content)
        self._wake.set()

    def _send(self, revision: int) -> bool:
        with self._lock:
            content, self._due = self._content, None
        try:
            return self._send_content(revision, content)
        except Refused:
            # Too large for the channel: which apps run is worth more than why each of their services does not.
            return self._send_content(revision, _shortened(content))

    def _send_content(self, revision: int, content: Content) -> bool:
        return self._uplink.send(STATUS, self._maker(revision, content))

    def _maker(self, revision: int, content: Content) -> Make:
        free, link = self._disk_free(), self._link()
        return lambda conn, n: Status(
            conn=conn,
            n=n,
            revision=revision,
            accepted=content.accepted,
            conditions=tuple(content.conditions[name] for name in sorted(content.conditions)),
            instances=content.instances,
            disk_free_bytes=free,
            link=link,
        )


def _with(content: Content, conditions: Iterable[Condition]) -> Content:
    return replace(content, conditions={**content.conditions, **{each.type: each for each in conditions}})


def _ended(instance: InstanceStatus, container: str, exit_code: int | None) -> InstanceStatus:
    """Return an app at rest with a container that has ended; in an update, containers end all the time."""
    if instance.state in ("updating", "removing") or container not in {s.container for s in instance.services}:
        return instance
    services = tuple(
        service.model_copy(update={"state": "exited", "health": "none", "exit_code": exit_code})
        if service.container == container and service.state == "running"
        else service
        for service in instance.services
    )
    return instance.model_copy(update={"services": services})


def _shortened(content: Content) -> Content:
    """Return the content without services, its sentences cut: at most some 400 bytes an app."""
    instances = tuple(
        instance.model_copy(update={"services": (), "message": instance.message[:100]})
        for instance in content.instances[:INSTANCES_MAX]
    )
    conditions = {
        name: condition.model_copy(update={"message": condition.message[:100]})
        for name, condition in content.conditions.items()
    }
    return Content(content.accepted, conditions, instances)
