"""A reconciler on the memory engine: rounds on request, time that only the story moves, restarts that keep the disk."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from broker.messages import AppSection, InstanceStatus
from broker.policy import Policy
from device.checked_file import CheckedFile
from device.engine.memory import MemoryEngine
from device.engine.port import Health, State
from device.mailbox import Mailbox
from device.reconcile.journal import Entry, Journal
from device.reconcile.lock import HeldLock
from device.reconcile.loop import Reconciler, Report
from tests.harness.apps import PLACE, section, service
from tests.unit.device.fakes import FakeClock, Script, desired
from tests.unit.device.worlds import NEW_IMAGE, WEB_IMAGE

ALWAYS: dict[str, Any] = {"restart": {"policy": "always"}}
MONITOR_S = 5.0  # Compose's own default: how long a service without a check must run
INSTANCE = "iaaaaaaaaaaa"


def release(*, instance: str = INSTANCE, name: str = "hello", attempt: int = 0, **keys: Any) -> AppSection:
    return section({"web": service(**(ALWAYS | keys))}, instance=instance, name=name, attempt=attempt)


class WaitlessMailbox(Mailbox):
    """A mailbox whose reader never waits; how long it would have is noted. Fetching is done meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []
        self.meanwhile: list[Any] = []

    def wait(self, timeout_s: float) -> None:
        self.waits.append(0.0 if self._poked.is_set() else timeout_s)
        self._poked.clear()
        for do in self.meanwhile:
            do()


class Stage:
    """A reconciler with its engine; restarting it keeps what is on disk and in the engine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.engine = MemoryEngine()
        self.engine.registry |= {WEB_IMAGE, NEW_IMAGE}
        self.clock = FakeClock()
        self.reports: list[Report] = []
        self.generation = 0
        self.apps: tuple[AppSection, ...] = ()
        self.told: list[tuple[str, int, int]] = []
        self.locks: dict[str, HeldLock] = {}
        self.policy = Policy()
        self.restart()

    def restart(self, policy: Policy | None = None) -> None:
        self.policy = policy or self.policy
        self.mailbox = WaitlessMailbox()
        self.reconciler = Reconciler(
            engine=self.engine,
            mailbox=self.mailbox,
            journal=Journal(CheckedFile(self.folder / "journal")),
            policy=self.policy,
            clock=self.clock,
            place_for=lambda sections: PLACE,
            pull=lambda image, told: self.engine.pull(image, token="token", progress=told),
            report=self.reports.append,
            progress=lambda *told: self.told.append(told),
            observed=lambda apps, observed: None,
            lock_of=self.locks.get,
        )
        self.mailbox.meanwhile = [self._fetch, self._notice]
        if self.generation:
            self.mailbox.put(desired(self.generation, apps=self.apps))

    def _fetch(self) -> None:
        self.reconciler.fetcher.turn(threading.Event())

    def _notice(self) -> None:
        """Hand on the engine's events, as the thread that watches it does."""
        if self.engine.available and self.engine.wait_for_event(0):
            self.reconciler.engine_changed()

    def want(self, *apps: AppSection) -> None:
        self.generation += 1
        self.apps = apps
        self.mailbox.put(desired(self.generation, apps=apps))

    def turns(self, count: int = 1) -> None:
        """Go on until the loop has reported so often."""
        self.reconciler.run(Rounds(count, self.reports, self.mailbox))

    def settle(self, rounds: int = 10, *, pause_s: float = MONITOR_S) -> list[str]:
        """Go on, with time for services to prove themselves, until nothing is left to do; return the states."""
        for _ in range(3):
            self.turns(rounds)
            self.clock.sleep(pause_s)
        self.turns(rounds)
        return self.states()

    def status(self, instance: str = INSTANCE) -> InstanceStatus:
        return next(status for status in self.reports[-1].instances if status.instance == instance)

    def states(self) -> list[str]:
        return [f"{status.name} {status.state}" for status in self.reports[-1].instances]

    def plans(self) -> list[tuple[str, ...]]:
        """Return what was planned, round by round, without the rounds of which there is nothing to tell."""
        return [plan for report in self.reports for status in report.instances if (plan := status.plan)]

    def conditions(self, instance: str = INSTANCE) -> list[str]:
        return [condition.type for condition in self.status(instance).conditions if condition.status]

    def entry(self, instance: str = INSTANCE) -> Entry:
        """Return the journal's page as a restarted worker would read it."""
        journal = Journal(CheckedFile(self.folder / "journal"))
        journal.load()
        return journal.of(instance)

    def runs(self) -> list[str]:
        """Return what runs, by app and image."""
        running = [c for c in self.engine.by_id.values() if c.state == "running"]
        return sorted(f"{c.name.partition('.')[0]} {'one' if c.image == WEB_IMAGE else 'two'}" for c in running)

    def become(self, image: str, state: State, health: Health = "none", exit_code: int | None = None) -> None:
        """Put the containers of one image into a state."""
        for key in [key for key, container in self.engine.by_id.items() if container.image == image]:
            self.engine.become_one(key, state, health, exit_code)

    def ids(self) -> set[str]:
        return set(self.engine.by_id)

    def lived(self) -> list[str]:
        """Return the changes that were made to the engine since the last time this was asked, as calls."""
        looks = ("containers", "resources", "details", "has_image", "wait_for_event", "image_healthcheck", "observe")
        made = [call for call in self.engine.calls if call not in looks]
        self.engine.calls.clear()
        return made


class Rounds(Script):
    """A stop event that is set once the loop has reported so often, and a last time fetched and heard."""

    def __init__(self, count: int, reports: list[Report], mailbox: WaitlessMailbox) -> None:
        super().__init__([])
        self._until = len(reports) + count
        self._reports = reports
        self._mailbox = mailbox

    def is_set(self) -> bool:
        if len(self._reports) < self._until:
            return False
        for do in self._mailbox.meanwhile:
            do()
        return True
