"""The decision about one app in one round: which release, which steps, what is to be learnt. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from broker.appspec import Healthcheck
from broker.messages import AppSection
from device.engine.port import Observed
from device.reconcile.attempts import Attempt
from device.reconcile.choose import Aim, Choice, choose
from device.reconcile.facts import Snapshot
from device.reconcile.health import Seen, Verdict, judge
from device.reconcile.journal import Entry
from device.reconcile.lock import HeldLock
from device.reconcile.moves import Around
from device.reconcile.plan import images_needed, is_whole, plan, to_restart
from device.reconcile.steps import Plan
from device.reconcile.wanted import Wanted


@dataclass(frozen=True)
class Case:
    """Everything a decision is made from. `wanted` holds the releases of `aim.sections` by digest."""

    aim: Aim
    entry: Entry
    snapshot: Snapshot
    wanted: Mapping[str, Wanted]
    attempt_at: Callable[[AppSection], Attempt]
    is_absent: Callable[[str], bool]  # whether the engine lacks an image
    check_of: Callable[[str], Healthcheck | None]  # the check an image brings along
    lock: HeldLock | None = None
    is_busy: bool = False  # an earlier plan is still being carried out
    can_set_restart: bool = True


@dataclass(frozen=True)
class Decision:
    """`app` None: what there is of the app is left alone. `again`: containers that must be noted for a new start
    before the plan is carried out. `lacking`: images to be fetched."""

    choice: Choice
    app: Wanted | None
    plan: Plan
    verdict: Verdict
    seen: Seen
    attempt: Attempt | None = None
    is_on_trial: bool = False
    again: Mapping[str, int | None] = field(default_factory=dict)
    lacking: tuple[str, ...] = ()

    @property
    def lesson(self) -> str:
        """Return what is to be remembered of a release on trial: good, bad, paused, or nothing yet."""
        if not self.is_on_trial or self.attempt is None:
            return ""
        if self.attempt.hopeless:
            return "bad"
        return {"good": "good", "bad": "bad", "paused": "paused", "pending": ""}[self.verdict.state]


def decide(case: Case) -> Decision:
    """Return what to do for one app now."""
    observed = case.snapshot.observed
    lacking = _Lacking(case, observed)
    current = None if case.aim.current is None else case.wanted[case.aim.current.digest or ""]
    choice = choose(
        case.aim,
        is_here=lambda section: not lacking.of(section),
        is_whole=current is not None and is_whole(current, observed),
        lock=case.lock,
    )
    absent = lacking.of(case.aim.target) if choice.phase == "fetching" and case.aim.target is not None else ()
    if choice.run is None:
        return _left_alone(case, choice, current, absent)
    app = case.wanted[choice.run.digest or ""]
    absent += tuple(image for image in lacking.of(choice.run) if image not in absent)
    return _held_to(case, choice, app, absent)


class _Lacking:
    """Which images a release still needs and the engine lacks; looked up once each, and only when it matters."""

    def __init__(self, case: Case, observed: Observed) -> None:
        self._case = case
        self._observed = observed
        self._known: dict[str, tuple[str, ...]] = {}

    def of(self, section: AppSection) -> tuple[str, ...]:
        digest = section.digest or ""
        if digest not in self._known:
            needed = images_needed(self._case.wanted[digest], self._observed)
            self._known[digest] = tuple(image for image in needed if self._case.is_absent(image))
        return self._known[digest]


def _left_alone(case: Case, choice: Choice, current: Wanted | None, absent: tuple[str, ...]) -> Decision:
    seen = _seen(case, Plan(), is_on_trial=False)
    verdict = Verdict("pending", "", ()) if current is None else judge(current, seen, elapsed_s=0.0)
    return Decision(choice, None, Plan(), verdict, seen, lacking=absent)


def _held_to(case: Case, choice: Choice, app: Wanted, absent: tuple[str, ...]) -> Decision:
    section, entry, observed = app.section, case.entry, case.snapshot.observed
    is_good = entry.good is not None and entry.good.digest == section.digest
    is_on_trial = not is_good and section.digest not in entry.bad
    attempt = case.attempt_at(section)
    around = _around(case, app, attempt, absent, is_on_trial=is_on_trial)
    runs = case.snapshot.runs
    dragged = to_restart(app, observed, around)
    again = {c.id: runs[c.id].started_at_ms for c in dragged if c.id in runs and c.id not in around.again}
    if again:
        around = replace(around, again={**around.again, **again})
    todo = Plan() if case.is_busy else plan(app, observed, around)
    seen = _seen(case, todo, is_on_trial=is_on_trial, app=app)
    # What has just been planned may change everything: only where nothing is left to do can something be late.
    is_acting = case.is_busy or (bool(todo.steps) and not attempt.rests(case.snapshot.now))
    elapsed_s = 0.0 if is_acting else case.snapshot.now - attempt.touched_at
    verdict = judge(app, seen, elapsed_s=elapsed_s)
    if verdict.state == "good" and is_on_trial and (case.is_busy or not is_whole(app, observed)):
        verdict = replace(verdict, state="pending")  # what it replaces still runs
    return Decision(choice, app, todo, verdict, seen, attempt, is_on_trial, again, absent)


def _around(case: Case, app: Wanted, attempt: Attempt, absent: tuple[str, ...], *, is_on_trial: bool) -> Around:
    entry, good = case.entry, case.aim.good
    others = [other for other in case.wanted.values() if other is not app]
    spare = case.wanted[good.digest or ""] if is_on_trial and good is not None else None
    return Around(
        runs=case.snapshot.runs,
        known={c.hash: c for other in others for c in other.containers.values()},
        spare=frozenset(c.hash for c in spare.containers.values() if _stays_stopped(c.spec.restart.policy))
        if spare is not None
        else frozenset(),
        stopped=entry.stopped_for(case.aim.asked),
        again=entry.again,
        hooked=frozenset(entry.hooked),
        restarts=entry.restarts,
        absent=frozenset(absent),
        can_set_restart=case.can_set_restart,
        going_back=case.aim.is_going_back,
        is_rough=attempt.is_rough,
    )


def _stays_stopped(policy: str) -> bool:
    """Return whether a container can be kept for the way back: of one that may end, nobody could tell whether it did
    its work or was only put aside."""
    return policy in ("always", "unless-stopped")


def _seen(case: Case, todo: Plan, *, is_on_trial: bool, app: Wanted | None = None) -> Seen:
    instance = case.aim.asked.instance
    unchecked = [] if app is None else [c.image for c in app.containers.values() if c.spec.healthcheck is None]
    return Seen(
        containers=[c for c in case.snapshot.observed.containers if c.instance == instance],
        runs=case.snapshot.runs,
        image_checks={image: case.check_of(image) for image in unchecked} if is_on_trial else {},
        waiting=todo.waiting,
        stopped=case.entry.stopped_for(case.aim.asked),
        hooked=frozenset(case.entry.hooked),
        going_back=case.aim.is_going_back,
    )
