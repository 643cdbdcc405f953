"""When reconcile runs, and what it remembers between rounds. The thread that runs this alone changes the engine."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from broker.appspec import AppSpec
from broker.backoff import Backoff
from broker.clock import Clock
from broker.errors import Passing, Refused
from broker.files import StorageUnavailable
from broker.messages import AppSection, DesiredState, InstanceStatus
from broker.policy import Policy
from device.engine.port import Engine, EngineRefused, EngineUnavailable, Observed
from device.mailbox import Mailbox
from device.reconcile.execute import TokenFor, execute
from device.reconcile.health import Verdict, gate_s, judge
from device.reconcile.judgements import Judgement, Judgements, choose
from device.reconcile.lock import HeldLock
from device.reconcile.plan import images_needed, plan
from device.reconcile.requests import Answer, Request, Requests, Resync
from device.reconcile.steps import Plan, Pull, line
from device.reconcile.wanted import Place, Wanted, wanted

log = logging.getLogger(__name__)

WAITING_S = 0.5  # while a service waits for another: health changes come as events, this is for those that get lost
RESYNC_S = 60.0  # converged: look again even when no event came
LAST_LINES = 10  # of each service that failed
LAST_WORDS_CHARS = 1800  # a message of a status holds 2,000
RETRY = Backoff(first_s=1.0, max_s=60.0)


@dataclass(frozen=True)
class Report:
    """What a round found, for the reporter."""

    desired: DesiredState | None
    instances: tuple[InstanceStatus, ...]
    engine_error: str = ""
    storage_error: str = ""
    plan: tuple[str, ...] = ()


@dataclass
class _Attempt:
    """One section being brought up: since when nothing was touched, and how often a step failed."""

    digest: str
    touched_at: float
    failures: int = 0
    error: str = ""
    is_fetching: bool = False
    retry_at: float = 0.0


class _Superseded(Exception):
    """A newer desired state arrived; what is under way for the old one is dropped."""


@dataclass
class Reconciler:
    """Observe, plan, execute, judge; again until nothing is left to do."""

    engine: Engine
    mailbox: Mailbox
    judgements: Judgements
    policy: Policy
    clock: Clock
    place_for: Callable[[Sequence[AppSection]], Place]
    token_for: TokenFor
    report: Callable[[Report], None]
    progress: Callable[[str, int, int], None]
    observed: Callable[[Sequence[Wanted], Observed], None]  # told after every snapshot: log followers and forwarders
    registry: str = ""  # that the images come from, for the policy
    lock_of: Callable[[str], HeldLock | None] = lambda instance: None  # by instance; a release of it pokes the mailbox
    _attempts: dict[str, _Attempt] = field(default_factory=dict)
    _failures: int = 0
    _looked_at: float | None = None  # when the engine last answered

    def __post_init__(self) -> None:
        self._requests = Requests(self.mailbox.poke)

    def ask(self, request: Request, answer: Answer, *, is_late: Callable[[], bool] = lambda: False) -> None:
        """Ask for something besides the desired state, from any thread; answered once, soon, on another thread."""
        self._requests.ask(request, answer, is_late=is_late)

    def run(self, stopping: threading.Event) -> None:
        """Work until `stopping`; the mailbox wakes it, so stop it by setting the event and poking the mailbox."""
        self.judgements.load()
        while not stopping.is_set():
            self._take_requests()
            desired = self.mailbox.newest
            if desired is None:
                self.report(Report(None, ()))
                pause_s = RESYNC_S
            else:
                pause_s = self._guarded_round(desired, stopping)
            if not stopping.is_set():
                self.mailbox.wait(pause_s)

    def _take_requests(self) -> None:
        for request, answer in self._requests.taken():
            if isinstance(request, Resync):
                self._attempts.clear()
                answer(True, "looking again")
            else:
                answer(False, f"this worker does not do {type(request).__name__.lower()}")

    def _guarded_round(self, desired: DesiredState, stopping: threading.Event) -> float:
        try:
            pause_s = self._round(desired, stopping)
            self._failures = 0
        except (EngineUnavailable, EngineRefused) as error:
            # An engine that does not show what it has means unknown, never gone: nothing is concluded, only reported.
            self._failures += 1
            log.warning("the engine does not answer: %s", error)
            self.report(Report(desired, (), engine_error=str(error)))
            return RETRY.delay_s(self._failures, 1.0)
        except StorageUnavailable as error:
            self._failures += 1
            log.error("%s", error)
            self.report(Report(desired, (), storage_error=str(error)))
            return RETRY.delay_s(self._failures, 1.0)
        except _Superseded:
            return 0.0
        return pause_s

    def _round(self, desired: DesiredState, stopping: threading.Event) -> float:
        chosen, refused = self._chosen(desired)
        place = self.place_for(chosen)
        apps = [wanted(section, place) for section in chosen]
        kept = frozenset(status.instance for status in refused) - {app.instance for app in apps}
        observed = self._look(kept)
        self.observed(apps, observed)
        absent = frozenset(i for i in images_needed(apps, observed) if not self.engine.has_image(i))
        todo = plan(apps, observed, absent_images=absent)
        did = self._execute(desired, apps, todo, stopping)
        if did:
            observed = self._look(kept)
            self.observed(apps, observed)
        verdicts = {app.instance: self._judged(app, observed, todo, did=did) for app in apps}
        settled = self._settle(desired, apps, verdicts)
        self.report(Report(desired, _with_refusals(settled, refused), plan=tuple(todo.lines())))
        return self._pause_s(todo, verdicts, did=did)

    def _look(self, kept: frozenset[str]) -> Observed:
        """Return what the engine shows. The time in which it showed nothing is nobody's fault."""
        observed = _without(self.engine.observe(), kept)
        now = self.clock.monotonic()
        if self._failures and self._looked_at is not None:
            for attempt in self._attempts.values():
                attempt.touched_at += now - self._looked_at
        self._looked_at = now
        return observed

    def _objections(self, spec: AppSpec, section: AppSection) -> list[str]:
        """Return what the owner has against an app: of what was granted, only the newest section's counts."""
        return self.policy.objections(spec, section.grants, registry=self.registry)

    def _chosen(self, desired: DesiredState) -> tuple[list[AppSection], tuple[InstanceStatus, ...]]:
        """Return the sections to run, and the states of those the owner's policy refuses: these keep what they have."""
        run: list[AppSection] = []
        refused: list[InstanceStatus] = []
        self.judgements.forget(self.judgements.instances - {section.instance for section in desired.apps})
        for section in desired.apps:
            why = self._objections(section.spec, section)
            judgement = self.judgements.of(section.instance)
            if judgement.good is not None and self._objections(judgement.good.spec, section):
                judgement = judgement.model_copy(update={"good": None})  # what the owner forbids is not gone back to
            if not why:
                run.append(choose(section, judgement))
                continue
            refused.append(_status(section, "failed", "refused by the device's policy: " + "; ".join(why)))
            if judgement.good is not None:
                run.append(judgement.good)
        return run, tuple(refused)

    def _execute(self, desired: DesiredState, apps: Sequence[Wanted], todo: Plan, stopping: threading.Event) -> bool:
        """Carry out the steps of apps that are not backing off; return whether any was done."""
        now = self.clock.monotonic()
        digests = {app.instance: app.section.digest or "" for app in apps}
        failed: set[str] = set()
        did = False
        for step in todo.steps:
            if stopping.is_set() or self._is_superseded(desired):
                raise _Superseded
            instance = _instance_of(step)
            attempt = self._attempt(instance, digests.get(instance, ""))
            if instance in failed or now < attempt.retry_at:
                continue
            log.info("%s", line(step))
            try:
                execute(step, self.engine, token_for=self.token_for, progress=self._checked_progress(desired))
                did = True
                attempt.touched_at = self.clock.monotonic()
                attempt.error = ""
                if not isinstance(step, Pull):
                    attempt.failures = 0
            except EngineUnavailable:
                raise
            except (Passing, Refused) as error:
                failed.add(instance)
                attempt.failures += 1
                attempt.is_fetching = isinstance(step, Pull)
                attempt.error = f"{line(step)}: {error}"
                attempt.retry_at = self.clock.monotonic() + RETRY.delay_s(attempt.failures, 1.0)
                log.warning("step failed: %s", attempt.error)
        return did

    def _attempt(self, instance: str, digest: str) -> _Attempt:
        attempt = self._attempts.get(instance)
        if attempt is None or attempt.digest != digest:
            attempt = self._attempts[instance] = _Attempt(digest, self.clock.monotonic())
        return attempt

    def _checked_progress(self, desired: DesiredState) -> Callable[[str, int, int], None]:
        def told(instance: str, done: int, total: int) -> None:
            if self._is_superseded(desired):
                raise _Superseded
            self.progress(instance, done, total)

        return told

    def _is_superseded(self, desired: DesiredState) -> bool:
        newest = self.mailbox.newest
        return newest is not None and (newest.era, newest.generation) != (desired.era, desired.generation)

    def _judged(self, app: Wanted, observed: Observed, todo: Plan, *, did: bool) -> Verdict:
        attempt = self._attempt(app.instance, app.section.digest or "")
        # After steps, of whatever app, the plan is old: what waits in it may be possible by now.
        elapsed_s = 0.0 if did else self.clock.monotonic() - attempt.touched_at
        verdict = judge(app, observed, todo.waiting, elapsed_s=elapsed_s)
        if attempt.error and verdict.state != "converged":
            # While fetching, nothing was touched and the old release runs; afterwards patience has an end.
            is_lost = not attempt.is_fetching and elapsed_s > gate_s(app)
            return Verdict("failed" if is_lost else "updating", attempt.error, verdict.services)
        return verdict

    def _settle(
        self, desired: DesiredState, apps: Sequence[Wanted], verdicts: Mapping[str, Verdict]
    ) -> list[InstanceStatus]:
        """Remember what was judged and say it: a failed release is put away, the next round brings the good one."""
        asked = {section.instance: section for section in desired.apps}
        statuses = []
        for app in apps:
            verdict = verdicts[app.instance]
            section = asked[app.instance]
            judgement = self.judgements.of(app.instance)
            is_asked = app.section.digest == section.digest
            if verdict.state == "converged":
                self.judgements.note_good(app.section)
            elif self._is_news(app.section, verdict, judgement) and is_asked:
                self.judgements.note_bad(section, self._with_last_words(verdict))
                judgement = self.judgements.of(app.instance)
                self.mailbox.poke()
            state: str = verdict.state
            message = judgement.bad.get(section.digest or "", verdict.message) if state == "failed" else verdict.message
            if state == "failed" and judgement.good is not None and self._objections(judgement.good.spec, section):
                message = f"{message}\nno release to go back to: the device's policy refuses the last good one"
            if not is_asked:
                state, message = (
                    "failed",
                    f"went back to the last good release: {judgement.bad.get(section.digest or '', '')}",
                )
            elif verdict.state == "failed" and self._was_good(app.section):
                state = "degraded"
            statuses.append(_status(app.section, state, message, verdict.services))
        return statuses

    def _with_last_words(self, verdict: Verdict) -> str:
        """Return what failed with the last lines it wrote: what a person asks for next."""
        words = [verdict.message]
        for status in verdict.services:
            if status.container and (status.health == "unhealthy" or status.state in ("exited", "restarting")):
                try:
                    lines = self.engine.last_lines(status.container, LAST_LINES)
                except (Passing, Refused) as error:
                    lines = [f"(no log: {error})"]
                words += [f"{status.name}: {text}" for text in lines]
        return "\n".join(words)[:LAST_WORDS_CHARS]

    def _is_news(self, section: AppSection, verdict: Verdict, judgement: Judgement) -> bool:
        return verdict.state == "failed" and section.digest not in judgement.bad and not self._was_good(section)

    def _was_good(self, section: AppSection) -> bool:
        good = self.judgements.of(section.instance).good
        return good is not None and good.digest == section.digest

    def _pause_s(self, todo: Plan, verdicts: Mapping[str, Verdict], *, did: bool) -> float:
        now = self.clock.monotonic()
        retries = [attempt.retry_at - now for attempt in self._attempts.values() if attempt.retry_at > now]
        if did:
            return 0.0
        if retries:
            return max(0.05, min(retries))
        if todo.waiting or any(verdict.state == "updating" for verdict in verdicts.values()):
            return WAITING_S
        return RESYNC_S


def _without(observed: Observed, instances: frozenset[str]) -> Observed:
    """Return the snapshot without some instances: what is not seen is not touched."""
    if not instances:
        return observed
    return replace(
        observed,
        containers=tuple(c for c in observed.containers if c.instance not in instances),
        networks=tuple(n for n in observed.networks if n.instance not in instances),
    )


def _with_refusals(settled: Sequence[InstanceStatus], refused: Sequence[InstanceStatus]) -> tuple[InstanceStatus, ...]:
    """Return one status an instance: a refusal stands over what became of the release that is kept instead."""
    kept = {status.instance: status.services for status in settled}
    said = [status.model_copy(update={"services": kept.get(status.instance, ())}) for status in refused]
    gone = {status.instance for status in refused}
    return (*(status for status in settled if status.instance not in gone), *said)


def _instance_of(step: object) -> str:
    for name in ("container", "network", "volume"):
        part = getattr(step, name, None)
        if part is not None:
            return str(part.instance)
    return str(getattr(step, "instance", ""))


def _status(section: AppSection, state: str, message: str, services: tuple[object, ...] = ()) -> InstanceStatus:
    return InstanceStatus.model_validate(
        {
            "instance": section.instance,
            "name": section.name,
            "release": section.release,
            "section": section.digest,
            "state": state,
            "message": message[:2000],
            "services": services,
        }
    )
