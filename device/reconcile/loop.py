"""When reconcile runs, and what a round is: look, take requests, bring each app forward, report. The reconcile thread
alone decides what is done to the engine."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from broker.appspec import AppSpec
from broker.clock import Clock
from broker.files import StorageUnavailable
from broker.messages import AppSection, DesiredState, InstanceStatus, Retire
from broker.policy import Policy
from device.engine.port import Container, Engine, EngineRefused, EngineUnavailable, Observed
from device.mailbox import Mailbox
from device.reconcile.apps import Apps
from device.reconcile.asked import Asked
from device.reconcile.attempts import RETRY
from device.reconcile.crew import Spawn
from device.reconcile.facts import Snapshot
from device.reconcile.fetch import Fetcher
from device.reconcile.journal import Journal
from device.reconcile.lock import HeldLock, Locks
from device.reconcile.look import Looks
from device.reconcile.requests import Answer, Prune, Request, Requests, Restart, Resync, Start, Stop, Unlock
from device.reconcile.wanted import Place, Wanted

log = logging.getLogger(__name__)

RESYNC_S = 900.0  # converged: look again even when no event came
NO_WAIT_S = 0.05


@dataclass(frozen=True)
class Report:
    """What a round found, for the reporter."""

    desired: DesiredState | None
    instances: tuple[InstanceStatus, ...]
    engine_error: str = ""
    storage_error: str = ""
    wiped: bool = False  # what a desired state that retires the device says shall be wiped


@dataclass
class Reconciler:
    """Look, choose, plan, carry out, judge; again whenever something may have changed."""

    engine: Engine
    mailbox: Mailbox
    journal: Journal
    policy: Policy
    clock: Clock
    place_for: Callable[[Sequence[AppSection]], Place]
    pull: Callable[[str, Callable[[int, int], None]], None]  # has the engine hold an image by its name
    report: Callable[[Report], None]
    progress: Callable[[str, int, int], None]
    observed: Callable[[Sequence[Wanted], Observed], None]  # told after every snapshot: log followers and forwarders
    registry: str = ""  # that the images come from, for the policy
    unmet: Callable[[AppSpec, AppSection], list[str]] = lambda spec, section: []  # what the device has not for an app
    lock_of: Callable[[str], HeldLock | None] = lambda instance: None  # by instance; a release of it pokes the mailbox
    prune: Callable[[], str] = lambda: ""  # removes what no release needs; says what that was, or nothing: not now
    wipe: Callable[[Retire], None] = lambda retire: None  # deletes what apps left in the worker's own folder
    spawn: Spawn | None = None  # where steps are done; on this thread where nothing is said

    def __post_init__(self) -> None:
        self._requests = Requests(self.mailbox.poke)
        self.fetcher = Fetcher(
            self.pull,
            progress=self.progress,
            wake=self.mailbox.poke,
            clock=self.clock,
        )
        self._looks = Looks(self.engine, self.clock)
        self._asked = Asked(self.journal)
        self._locks = Locks(self.lock_of)
        self._apps = Apps(
            self.engine,
            journal=self.journal,
            policy=self.policy,
            registry=self.registry,
            unmet=self.unmet,
            locks=self._locks,
            looks=self._looks,
            fetch_error=self.fetcher.error,
            fetch_waits=self.fetcher.waits,
            wake=self.mailbox.poke,
            spawn=self.spawn,
        )
        self._event = threading.Event()
        self._failures = 0
        self._wiped_at: tuple[int, int] | None = None
        self._pending: list[tuple[Request, Answer]] = []  # taken, and not carried out while the engine is away

    # --- any thread

    def ask(self, request: Request, answer: Answer, *, is_late: Callable[[], bool] = lambda: False) -> None:
        """Ask for something besides the desired state, from any thread; answered once, soon, on another thread."""
        self._requests.ask(request, answer, is_late=is_late)

    def engine_changed(self) -> None:
        """Say that the engine told of an event, or stopped telling."""
        self._event.set()
        self.mailbox.poke()

    # --- its own thread

    def run(self, stopping: threading.Event) -> None:
        """Work until `stopping`; the mailbox wakes it, so stop it by setting the event and poking the mailbox."""
        self.journal.load()
        while not stopping.is_set():
            desired = self.mailbox.newest
            if desired is None:
                for _, answer in self._requests.taken():
                    answer(False, "this device has not accepted a desired state yet")
                self.report(Report(None, ()))
                pause_s = RESYNC_S
            else:
                pause_s = self._guarded_round(desired)
            if not stopping.is_set():
                self.mailbox.wait(pause_s)
        self._apps.cancel()

    def _guarded_round(self, desired: DesiredState) -> float:
        try:
            pause_s = self._round(desired)
            self._failures = 0
        except (EngineUnavailable, EngineRefused) as error:
            # An engine that does not show what it has means unknown, never gone: nothing is concluded, only reported.
            self._failures += 1
            self._looks.failed()
            log.warning("the engine does not answer: %s", error)
            self.report(Report(desired, (), engine_error=str(error)))
            return RETRY.delay_s(self._failures, 1.0)
        except StorageUnavailable as error:
            self._failures += 1
            log.error("%s", error)
            self.report(Report(desired, (), storage_error=str(error)))
            return RETRY.delay_s(self._failures, 1.0)
        return pause_s

    def _round(self, desired: DesiredState) -> float:
        did = self._apps.collect(self.clock.monotonic())
        if did or self._event.is_set():
            self._looks.changed()
        sections = {section.instance: section for section in desired.apps}
        aims = self._apps.aims(sections)
        place = self.place_for([section for aim in aims for section in aim.sections])
        self._pending += self._requests.taken()  # before the look: what is asked later was asked of a later world
        snapshot = self._look()
        for instance in sections:
            self._asked.forget_done(instance, snapshot.runs)
        self._answer_requests(sections, snapshot)
        late_s = self._settle_restarts(sections, snapshot)
        turns = [self._apps.turn(aim, snapshot, place) for aim in aims]
        gone = [self._apps.remove(name, snapshot) for name in _unwanted(snapshot, sections)]
        self._apps.forget_others(frozenset(sections), frozenset(turn.instance for turn in gone))
        self.fetcher.want({image: turn.instance for turn in turns for image in turn.absent})
        self.observed([turn.shown for turn in turns if turn.shown is not None], snapshot.observed)
        statuses = [turn.status for turn in (*turns, *gone) if turn.status is not None]
        wiped = not gone and self._wiped(desired, snapshot.observed.volumes)
        self.report(Report(desired, tuple(statuses), wiped=wiped))
        due = [due_s for due_s in (late_s, *(turn.due_s for turn in (*turns, *gone))) if due_s is not None]
        return max(NO_WAIT_S, min([*due, RESYNC_S]))

    def _wiped(self, desired: DesiredState, volumes: frozenset[str]) -> bool:
        """Wipe, where no app is left, what a device that is to go shall; return whether it is wiped.

        Raises `EngineRefused` for a volume that cannot be deleted: it is tried again.
        """
        if desired.retire is None:
            return False
        order = (desired.era, desired.generation)
        if self._wiped_at != order:
            if desired.retire.wipe == "all":
                for name in sorted(volumes):
                    self.engine.remove_volume(name)
                self._looks.changed()
            self.journal.forget_previous()
            self.wipe(desired.retire)
            log.warning("this device is to go: wiped %s", desired.retire.wipe)
            self._wiped_at = order
        return True

    def _look(self) -> Snapshot:
        event = self._event.is_set()
        self._event.clear()
        try:
            snapshot, away_s = self._looks.look(closely=lambda c: self._is_watched(c, event=event))
        except (EngineUnavailable, EngineRefused):
            if event:
                self._event.set()
            raise
        self._apps.excuse(away_s)
        return snapshot

    def _is_watched(self, container: Container, *, event: bool) -> bool:
        """Return whether a look should go beyond the list: something may have happened between two lists."""
        return container.state != "exited" and (event or self._apps.is_on_trial(container.instance))

    def _answer_requests(self, sections: dict[str, AppSection], snapshot: Snapshot) -> None:
        while self._pending:
            request, answer = self._pending[0]
            if isinstance(request, Restart):
                self._asked.restart(
                    request,
                    answer,
                    sections.get(request.instance),
                    snapshot.observed.containers,
                    snapshot.runs,
                    trouble=self._apps.trouble(request.instance),
                    now=snapshot.now,
                )
            else:
                answer(*self._carried_out(request, sections, snapshot))
            self._pending.pop(0)

    def _settle_restarts(self, sections: dict[str, AppSection], snapshot: Snapshot) -> float | None:
        return self._asked.settle(
            sections,
            snapshot.observed.containers,
            snapshot.runs,
            troubles={instance: self._apps.trouble(instance) for instance in sections},
            now=snapshot.now,
        )

    def _carried_out(
        self, request: Stop | Start | Unlock | Resync | Prune, sections: dict[str, AppSection], snapshot: Snapshot
    ) -> tuple[bool, str]:
        match request:
            case Resync():
                self._looks.changed()
                self._apps.retry_now()
                self.fetcher.retry_now()
                self.mailbox.poke()
                return True, "looking again"
            case Prune():
                said = self.prune()
                return bool(said), said or "an image is being fetched: ask again when it is here"
            case Unlock():
                return self._locks.unlock(request.instance)
            case _:
                return self._asked.take(
                    request, sections.get(request.instance), snapshot.observed.containers, snapshot.runs
                )


def _unwanted(snapshot: Snapshot, sections: dict[str, AppSection]) -> list[str]:
    """Return the instances of which something is there although they are not wanted."""
    observed = snapshot.observed
    there = {c.instance for c in observed.containers} | {n.instance for n in observed.networks}
    return sorted(there - sections.keys())
