"""What is reported of an app: its state, its conditions, the plan as text. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from broker.messages import PLAN_LINES_MAX, AppSection, Condition, InstanceStatus
from device.reconcile.choose import Aim, Choice
from device.reconcile.health import Verdict
from device.reconcile.lock import HeldLock
from device.reconcile.steps import Plan

State = Literal["updating", "converged", "degraded", "failed", "removing"]
MESSAGE_CHARS = 2000


@dataclass(frozen=True)
class Told:
    """Everything a status is made from."""

    aim: Aim
    choice: Choice
    verdict: Verdict
    plan: Plan = field(default_factory=Plan)
    is_busy: bool = False  # a plan is being carried out
    error: str = ""  # of the last step or transfer that failed
    fetching: tuple[str, ...] = ()  # images that are not here
    waits: str = ""  # why images are not fetched now though nothing failed; `error` says it in words
    lock: HeldLock | None = None
    stopped: frozenset[str] = frozenset()
    superseded: str = ""  # a release that was given up before it was judged, and for what


def instance_status(told: Told) -> InstanceStatus:
    """Return the reported state of one app."""
    aim, choice = told.aim, told.choice
    section = choice.run if aim.is_going_back and choice.run is not None else aim.asked
    state, message = _state(told)
    return InstanceStatus(
        instance=section.instance,
        name=section.name,
        release=section.release,
        section=section.digest or "",
        state=state,
        message=message[:MESSAGE_CHARS],
        services=told.verdict.services,
        conditions=tuple(_conditions(told, state, message)),
        plan=_bounded(told.plan.lines()),
    )


def removing_status(section: AppSection, plan: Plan, lock: HeldLock | None) -> InstanceStatus:
    """Return the reported state of an app that is not wanted any more and is still there."""
    held = lock_sentence(lock) if lock is not None else ""
    return InstanceStatus(
        instance=section.instance,
        name=section.name,
        release=section.release,
        section=section.digest or "",
        state="removing",
        message=held,
        conditions=(Condition(type="Waiting", status=True, reason="locked", message=held),) if held else (),
        plan=_bounded(plan.lines()),
    )


def lock_sentence(lock: HeldLock) -> str:
    """Return who holds up what for how long; whole minutes, so that a status does not change every second."""
    minutes = -(-max(lock.remaining_s, 0.0) // 60)
    why = f": {lock.reason}" if lock.reason else ""
    return f"held by the update lock of {lock.owner}{why}, for at most {int(minutes)} min"


def _state(told: Told) -> tuple[State, str]:
    aim, verdict = told.aim, told.verdict
    if aim.reason == "refused":
        return "failed", aim.why
    if aim.reason == "paused":
        return "failed", f"the update stopped half way, as its file asks: {aim.why}"
    if aim.is_going_back:
        done = verdict.state == "good" and not told.is_busy and not told.plan.steps
        return "failed", f"{'went' if done else 'goes'} back to the last good release: {aim.why}"
    if aim.reason == "bad":
        return "failed", aim.why
    if told.choice.phase == "fetching":
        return "updating", told.error or f"fetching {len(told.fetching)} images"
    if told.choice.phase == "waiting" and told.lock is not None:
        return "updating", lock_sentence(told.lock)
    if verdict.state == "good":
        is_done = not told.is_busy and not told.plan.steps
        if verdict.message:
            return ("degraded" if is_done else "updating"), verdict.message
        names = ", ".join(sorted(told.stopped))
        return ("converged" if is_done else "updating"), f"stopped by request: {names}" if names else ""
    message = told.error or verdict.message
    return ("degraded" if _has_worked(aim) and verdict.state in ("bad", "paused") else "updating"), message


def _has_worked(aim: Aim) -> bool:
    return aim.good is not None and aim.good.digest == aim.asked.digest


def _conditions(told: Told, state: State, message: str) -> list[Condition]:
    """Return what holds of an app: `Healthy` always, the others where they are true."""
    aim, choice, verdict = told.aim, told.choice, told.verdict
    cut = message[:500]
    made = [
        Condition(
            type="Healthy",
            status=verdict.state == "good" and not verdict.message,
            reason="stopped_by_request" if told.stopped else "",
            message=verdict.message[:500],
        )
    ]

    def holds(kind: str, reason: str, text: str = "") -> None:
        made.append(Condition(type=kind, status=True, reason=reason, message=text))

    if told.fetching and told.waits:
        holds("Waiting", told.waits, told.error)
    elif told.fetching:
        holds(
            "Fetching", "fetch_failed" if told.error else "image_absent", told.error or f"{len(told.fetching)} images"
        )
    if told.lock is not None and choice.phase == "waiting":
        holds("Waiting", "locked", lock_sentence(told.lock))
    if state == "updating" and choice.phase in ("switching", "hold"):
        holds("Switching", "begun", cut)
    if aim.is_going_back:
        holds("RolledBack", "release_failed", aim.why[:500])
    if aim.reason == "refused":
        holds("Refused", "policy", cut)
    if aim.reason == "paused":
        holds("Paused", "failure_action", aim.why[:500])
    if state == "degraded":
        holds("Degraded", "unhealthy", cut)
    if told.superseded:
        holds("Superseded", "newer_release", told.superseded)
    return made


def _bounded(lines: list[str]) -> tuple[str, ...]:
    if len(lines) <= PLAN_LINES_MAX:
        return tuple(line[:MESSAGE_CHARS] for line in lines)
    kept = lines[: PLAN_LINES_MAX - 1]
    return (*(line[:MESSAGE_CHARS] for line in kept), f"and {len(lines) - len(kept)} more")
