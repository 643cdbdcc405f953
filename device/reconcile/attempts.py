"""How bringing up a release goes: since when nothing came forward, what failed, when to try again. In memory only."""

from __future__ import annotations

from dataclasses import dataclass

from broker.backoff import Backoff
from broker.messages import AppSection
from device.engine.port import CANNOT, EngineRefused
from device.reconcile.execute import HookFailed
from device.reconcile.steps import Outcome, RunHook, Start, Stop, line

RETRY = Backoff(first_s=1.0, max_s=60.0)


@dataclass
class Attempt:
    """One release of one app, identified by the digest of its section."""

    digest: str
    touched_at: float  # when it last came forward: only what stands still is late
    failures: int = 0
    error: str = ""
    retry_at: float = 0.0
    hopeless: str = ""  # a hook that must pass did not, or this engine cannot do it at all: nothing to wait for
    is_rough: bool = False  # a start was refused: what ran before makes room first

    def rests(self, now: float) -> bool:
        return now < self.retry_at

    def ended(self, outcome: Outcome, now: float) -> None:
        """Take in what became of a plan."""
        if any(not isinstance(step, Stop) for step in outcome.done):  # ending a crash loop is no way forward
            self.touched_at = now
        if outcome.error is None or outcome.failed is None:
            self.failures, self.error, self.retry_at = 0, "", 0.0
            return
        if outcome.engine_away:
            return
        self.failures += 1
        self.error = f"{line(outcome.failed)}: {outcome.error}"
        self.retry_at = now + RETRY.delay_s(self.failures, 1.0)
        self.is_rough = self.is_rough or isinstance(outcome.failed, Start)
        if isinstance(outcome.error, HookFailed) and isinstance(outcome.failed, RunHook):
            self.hopeless = str(outcome.error)
        if isinstance(outcome.error, EngineRefused) and outcome.error.reason == CANNOT:
            self.hopeless = self.error


class Attempts:
    """The newest attempt of each app."""

    def __init__(self) -> None:
        self._attempts: dict[str, Attempt] = {}

    def of(self, section: AppSection, now: float) -> Attempt:
        """Return the attempt at `section`; one at another release of the app is over."""
        digest = section.digest or ""
        attempt = self._attempts.get(section.instance)
        if attempt is None or attempt.digest != digest:
            attempt = self._attempts[section.instance] = Attempt(digest, now)
        return attempt

    def newest(self, instance: str) -> Attempt | None:
        return self._attempts.get(instance)

    def keep(self, instances: frozenset[str]) -> None:
        self._attempts = {name: attempt for name, attempt in self._attempts.items() if name in instances}

    def excuse(self, seconds: float) -> None:
        """Hold a time in which the engine showed nothing against nobody."""
        for attempt in self._attempts.values():
            attempt.touched_at += seconds

    def retry_now(self) -> None:
        for attempt in self._attempts.values():
            attempt.retry_at = 0.0
