"""Brings single apps forward: chooses a release, plans, judges, notes what was learnt, hands plans to the crew."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from broker.appspec import AppSpec
from broker.messages import AppSection, InstanceStatus
from broker.policy import Grants, Policy
from device.engine.port import Engine, restart_text
from device.reconcile.asked import Trouble
from device.reconcile.attempts import Attempts
from device.reconcile.choose import Aim, aim
from device.reconcile.crew import Crew, Spawn
from device.reconcile.decide import Case, Decision, decide
from device.reconcile.execute import execute
from device.reconcile.facts import Snapshot
from device.reconcile.health import soon_s
from device.reconcile.journal import Journal
from device.reconcile.last_words import with_last_words
from device.reconcile.lock import HeldLock, Locks
from device.reconcile.look import Looks
from device.reconcile.moves import ALIVE, hook_key
from device.reconcile.plan import removal
from device.reconcile.status import Told, instance_status, removing_status
from device.reconcile.steps import Outcome, Plan, RunHook, SetRestart, Start, Stop
from device.reconcile.wanted import Place, Wanted, wanted

log = logging.getLogger(__name__)
WAITING_S = 1.0  # while something waits: changes come as events, this is for those that get lost
JUDGED_MAX = 256  # releases whose judgement by the policy is kept
LESSONS_MAX = 4  # in one turn: bad, then the one to go back to, and what that has to be told


@dataclass(frozen=True)
class Turn:
    """What came of one app in a round."""

    instance: str
    status: InstanceStatus | None = None
    shown: Wanted | None = None  # what runs of it, as far as is known
    absent: tuple[str, ...] = ()  # images to be fetched for it
    due_s: float | None = None  # when to look again although nothing tells of a change


class Apps:
    """What is remembered of apps between rounds, beside the journal. The reconcile thread owns it."""

    def __init__(
        self,
        engine: Engine,
        *,
        journal: Journal,
        policy: Policy,
        registry: str,
        unmet: Callable[[AppSpec, AppSection], list[str]],
        locks: Locks,
        looks: Looks,
        fetch_error: Callable[[str], str],
        fetch_waits: Callable[[str], str],
        wake: Callable[[], None],
        spawn: Spawn | None,
    ) -> None:
        self._engine = engine
        self._journal = journal
        self._policy = policy
        self._registry = registry
        self._unmet = unmet
        self._locks = locks
        self._looks = looks
        self._fetch_error = fetch_error
        self._fetch_waits = fetch_waits
        self._crew = Crew(lambda step: execute(step, engine), wake=wake, spawn=spawn)
        self._attempts = Attempts()
        self._jobs: dict[str, str] = {}  # by instance: the digest of the section that a job is for
        self._superseded: dict[str, str] = {}
        self._can_set_restart = True
        self._wanted: dict[str, tuple[Place, Wanted]] = {}
        self._judged: dict[int, tuple[AppSpec, Grants, list[str]]] = {}  # what is kept cannot lose its id to another

    # --- between rounds

    def aims(self, sections: Mapping[str, AppSection]) -> list[Aim]:
        return [self._aim(section) for section in sections.values()]

    def _aim(self, section: AppSection) -> Aim:
        """Return where an app shall go. Of what was granted to it, only what the newest section grants counts."""

        def objections(spec: AppSpec) -> list[str]:
            return [*self._denied(spec, section.grants), *self._unmet(spec, section)]

        return aim(section, self._journal.of(section.instance), objections)

    def _denied(self, spec: AppSpec, grants: Grants) -> list[str]:
        """Return what the owner's policy says against an app; asked once, as most rounds find the same."""
        kept = self._judged.get(id(spec))
        if kept is None or kept[0] is not spec or kept[1] != grants:
            if len(self._judged) >= JUDGED_MAX:
                self._judged.clear()
            denied = self._policy.objections(spec, grants, registry=self._registry)
            kept = self._judged[id(spec)] = (spec, grants, denied)
        return kept[2]

    def is_on_trial(self, instance: str) -> bool:
        return self._journal.of(instance).begun is not None

    def trouble(self, instance: str) -> Trouble:
        attempt = self._attempts.newest(instance)
        return Trouble() if attempt is None else Trouble(attempt.failures, attempt.error)

    def excuse(self, seconds: float) -> None:
        self._attempts.excuse(seconds)

    def retry_now(self) -> None:
        self._attempts.retry_now()
        self._looks.runs.wake()

    def cancel(self) -> None:
        for instance in self._crew.busy:
            self._crew.cancel(instance)

    def forget_others(self, wanted_ones: frozenset[str], there: frozenset[str]) -> None:
        """Forget the apps that are neither wanted nor there."""
        self._attempts.keep(wanted_ones)
        self._journal.forget(self._journal.instances - wanted_ones - there - self._crew.busy)
        self._superseded = {name: text for name, text in self._superseded.items() if name in wanted_ones}

    def collect(self, now: float) -> bool:
        """Take in what became of jobs that have ended; return whether any had. Raises `EngineUnavailable`."""
        outcomes = self._crew.collected()
        for instance, outcome in outcomes.items():
            self._collected(instance, outcome, now)
        for outcome in outcomes.values():
            if outcome.engine_away and outcome.error is not None:
                raise outcome.error
        return bool(outcomes)

    def _collected(self, instance: str, outcome: Outcome, now: float) -> None:
        digest = self._jobs.pop(instance)
        if isinstance(outcome.failed, SetRestart) and getattr(outcome.error, "reason", "") == "not_supported":
            self._can_set_restart = False  # the next plan makes the container anew
            outcome = replace(outcome, failed=None, error=None)
        attempt = self._attempts.newest(instance)
        if attempt is not None and attempt.digest == digest:
            attempt.ended(outcome, now)
        entry = self._journal.of(instance)
        left = {hook_key(step.container) for step in outcome.left if isinstance(step, RunHook)}
        hooked = {hook_key(step.container) for step in outcome.done if isinstance(step, RunHook) and step.must_pass}
        given = {
            step.container.id: restart_text(step.wanted.spec.restart)
            for step in outcome.done
            if isinstance(step, SetRestart)
        }
        if hooked - left or given:
            self._journal.change(
                instance,
                hooked=tuple(sorted({*entry.hooked, *(hooked - left)})),
                restarts={**entry.restarts, **given},
            )

    # --- one app in one round

    def turn(self, of: Aim, snapshot: Snapshot, place: Place) -> Turn:
        """Bring an app forward. What is learnt on the way changes where it goes at once, not at the next look."""
        for _ in range(LESSONS_MAX):
            case = self._case(of, snapshot, place)
            decision = decide(case)
            if case.is_busy:
                self._cancel_unless_for(of.asked.instance, decision)
            elif self._has_learnt(of, decision):
                of = self._aim(of.asked)
                continue
            elif decision.app is not None:
                self._act(case, decision, decision.app)
            return self._told(case, decision)
        raise AssertionError(f"{of.asked.name} is judged anew again and again")

    def _case(self, of: Aim, snapshot: Snapshot, place: Place) -> Case:
        instance = of.asked.instance
        is_forced = of.asked.settings.get("force") is True
        changes = of.target is not None and of.current is not None and of.target.digest != of.current.digest
        return Case(
            aim=of,
            entry=self._journal.of(instance),
            snapshot=snapshot,
            wanted={section.digest or "": self._wanted_at(section, place) for section in of.sections},
            attempt_at=lambda section: self._attempts.of(section, snapshot.now),
            is_absent=functools.cache(lambda image: not self._engine.has_image(image)),
            check_of=self._looks.image_check,
            lock=self._locks.of(instance) if changes and not is_forced else None,  # nobody looks where nothing waits
            is_busy=instance in self._crew.busy,
            can_set_restart=self._can_set_restart,
        )

    def _wanted_at(self, section: AppSection, place: Place) -> Wanted:
        """Return what a release asks of the engine; made once, as most rounds find the same."""
        digest = section.digest or ""
        kept = self._wanted.get(digest)
        if kept is None or kept[0] != place:
            kept = self._wanted[digest] = (place, wanted(section, place))
        return kept[1]

    def _cancel_unless_for(self, instance: str, decision: Decision) -> None:
        run = decision.choice.run
        if run is None or self._jobs.get(instance) != run.digest:
            self._crew.cancel(instance)

    def _has_learnt(self, of: Aim, decision: Decision) -> bool:
        """Write down what became of a release on trial; return whether that changes where the app goes."""
        section = decision.choice.run
        if section is None or not decision.lesson:
            return False
        if decision.lesson == "good":
            self._journal.note_good(section)
            self._superseded.pop(section.instance, None)
        elif decision.lesson == "bad":
            assert decision.attempt is not None
            reason = decision.attempt.hopeless or decision.attempt.error
            verdict = replace(decision.verdict, message=reason or decision.verdict.message)
            self._journal.note_bad(section, with_last_words(verdict, self._engine))
        else:
            self._journal.note_paused(section, with_last_words(decision.verdict, self._engine))
        log.info("%s: release %s is %s", section.name, section.release[7:19], decision.lesson)
        return True

    def _act(self, case: Case, decision: Decision, app: Wanted) -> None:
        """Carry the plan out, once the journal says all that must be known of it."""
        instance, now = app.instance, case.snapshot.now
        if decision.choice.begins:
            self._note_superseded(case, app.section)
            self._journal.begin(app.section)
        assert decision.attempt is not None
        if not decision.plan.steps or decision.attempt.rests(now):
            return
        starting = {hook_key(step.container) for step in decision.plan.steps if isinstance(step, Start)}
        self._journal.change(
            instance,
            again={**case.entry.again, **decision.again},
            hooked=tuple(key for key in case.entry.hooked if key not in starting),
        )
        for step in decision.plan.steps:
            if isinstance(step, Stop) and step.is_rest:
                self._looks.runs.rest(step.container.id, now)
        self._jobs[instance] = app.section.digest or ""
        self._crew.begin(instance, decision.plan)

    def _note_superseded(self, case: Case, newer: AppSection) -> None:
        begun = case.entry.begun
        if begun is not None and begun.digest != newer.digest:
            text = f"release {begun.release[7:19]} gave way to {newer.release[7:19]} before it was judged"
            self._superseded[newer.instance] = text

    def _told(self, case: Case, decision: Decision) -> Turn:
        instance, entry = case.aim.asked.instance, self._journal.of(case.aim.asked.instance)
        errors = [_naming(image, error) for image in decision.lacking if (error := self._fetch_error(image))]
        waits = [reason for image in decision.lacking if (reason := self._fetch_waits(image))]
        attempt = decision.attempt
        status = instance_status(
            Told(
                aim=case.aim,
                choice=decision.choice,
                verdict=decision.verdict,
                plan=decision.plan,
                is_busy=case.is_busy,
                error=errors[0] if errors else (attempt.error if attempt is not None else ""),
                fetching=decision.lacking,
                waits=waits[0] if waits else "",
                lock=case.lock,
                stopped=entry.stopped_for(case.aim.asked),
                superseded=self._superseded.get(instance, ""),
            )
        )
        current = case.aim.current
        shown = decision.app or (case.wanted[current.digest or ""] if current is not None else None)
        return Turn(instance, status, shown, decision.lacking, _due_s(case, decision))

    # --- an app that is not wanted

    def remove(self, instance: str, snapshot: Snapshot) -> Turn:
        """Take an app away of which something is there; its lock holds that up as well."""
        section = self._journal.of(instance).current
        app = None if section is None else wanted(section, Place(device="", registry="", intake={}))
        todo = removal(instance, snapshot.observed, app)
        alive = any(c.instance == instance and c.state in ALIVE for c in snapshot.observed.containers)
        lock: HeldLock | None = self._locks.of(instance) if alive else None
        if instance in self._crew.busy:
            todo = Plan()
            if self._jobs.get(instance) != "":
                self._crew.cancel(instance)
        elif lock is None and todo.steps:
            self._jobs[instance] = ""
            self._crew.begin(instance, todo)
        status = None if section is None else removing_status(section, todo, lock)
        return Turn(instance, status, due_s=None if lock is None else lock.remaining_s)


def _naming(image: str, error: str) -> str:
    return error if image in error else f"image {image}: {error}"


def _due_s(case: Case, decision: Decision) -> float | None:
    """Return when to look again although nothing may tell of a change."""
    due: list[float] = []
    if case.lock is not None and decision.choice.phase == "waiting":
        due.append(case.lock.remaining_s)
    attempt = decision.attempt
    if attempt is not None and attempt.rests(case.snapshot.now):
        due.append(attempt.retry_at - case.snapshot.now)
    if decision.app is not None and not case.is_busy:
        soon = soon_s(decision.app, decision.seen)
        is_well = decision.verdict.state == "good" and not decision.verdict.message
        due += [soon] if soon is not None and not is_well else []  # what fell is well again when it has run for long
        if decision.plan.waiting or (decision.is_on_trial and decision.verdict.state == "pending"):
            due.append(WAITING_S)
    return min(due, default=None)
