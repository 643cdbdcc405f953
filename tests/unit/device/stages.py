"""A reconciler on the memory engine: rounds on request, time that only the story moves, restarts that keep the disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from broker.messages import AppSection, InstanceStatus
from broker.policy import Policy
from device.engine.memory import MemoryEngine
from device.mailbox import Mailbox
from device.reconcile.judgements import Judgements
from device.reconcile.loop import Reconciler, Report
from tests.harness.apps import PLACE, section, service
from tests.unit.device.fakes import FakeClock, Script, desired
from tests.unit.device.worlds import NEW_IMAGE, WEB_IMAGE

ALWAYS = {"restart": {"policy": "always"}}


def release(*, instance: str = "iaaaaaaaaaaa", name: str = "hello", attempt: int = 0, **keys: Any) -> AppSection:
    return section({"web": service(**(ALWAYS | keys))}, instance=instance, name=name, attempt=attempt)


class WaitlessMailbox(Mailbox):
    """A mailbox whose reader never waits; how long it would have is noted."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, timeout_s: float) -> None:
        self.waits.append(0.0 if self._poked.is_set() else timeout_s)
        self._poked.clear()


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
        self.restart()

    def restart(self, policy: Policy = Policy()) -> None:
        self.mailbox = WaitlessMailbox()
        self.reconciler = Reconciler(
            engine=self.engine,
            mailbox=self.mailbox,
            judgements=Judgements(self.folder / "judgements.json"),
            policy=policy,
            clock=self.clock,
            place_for=lambda sections: PLACE,
            token_for=lambda image: "token",
            report=self.reports.append,
            progress=lambda *told: self.told.append(told),
            observed=lambda apps, observed: None,
        )
        if self.generation:
            self.mailbox.put(desired(self.generation, apps=self.apps))

    def want(self, *apps: AppSection) -> None:
        self.generation += 1
        self.apps = apps
        self.mailbox.put(desired(self.generation, apps=apps))

    def turns(self, count: int = 1) -> None:
        """Go on until the loop has reported so often."""
        self.reconciler.run(Rounds(count, self.reports))

    def settle(self, rounds: int = 8) -> list[str]:
        """Go on until nothing is left to do; return the states."""
        self.turns(rounds)
        return self.states()

    def status(self, instance: str = "iaaaaaaaaaaa") -> InstanceStatus:
        return next(status for status in self.reports[-1].instances if status.instance == instance)

    def states(self) -> list[str]:
        return [f"{status.name} {status.state}" for status in self.reports[-1].instances]

    def runs(self) -> list[str]:
        """Return what runs, by app and image."""
        running = [c for c in self.engine.by_id.values() if c.state == "running"]
        return sorted(f"{c.name.partition('.')[0]} {'one' if c.image == WEB_IMAGE else 'two'}" for c in running)

    def ids(self) -> set[str]:
        return set(self.engine.by_id)


class Rounds(Script):
    """A stop event that is set once the loop has reported so often."""

    def __init__(self, count: int, reports: list[Report]) -> None:
        super().__init__([])
        self._until = len(reports) + count
        self._reports = reports

    def is_set(self) -> bool:
        return len(self._reports) >= self._until
