"""How far a device is with a deployment. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from broker.messages import Generation, InstanceStatus, Status
from cloud.store.rows import Target

ISSUING = "issuing"
SUPERSEDED = "superseded"
PENDING = "pending"
ACCEPTED = "accepted"
UPDATING = "updating"
CONVERGED = "converged"
FAILED = "failed"
# What a device says of an app that it updates, the most telling first.
PHASES = ("Refused", "RolledBack", "Waiting", "Fetching", "Switching", "Degraded", "Healthy")


@dataclass(frozen=True)
class Judgement:
    """`phase` is what the device says it is doing, more closely than `state`; empty when it says nothing."""

    state: str
    message: str = ""
    phase: str = ""


def judge(
    target: Target,
    instance: str,
    *,
    accepted: Generation | None,
    status: Status | None,
    newest: tuple[int, int] | None,
) -> Judgement:
    """Return the state of one target, from what the device has accepted and reported.

    A status counts only when it was made with this or a newer desired state accepted.
    """
    if target.generation is None or target.era is None:
        return Judgement(ISSUING, "its desired state is being made")
    if target.generation == 0:
        return Judgement(SUPERSEDED, "a newer deployment came before this device's turn")
    order = (target.era, target.generation)
    if accepted is None or accepted.order < order:
        return Judgement(PENDING, "the device has not accepted it yet")
    if status is None or status.accepted is None or status.accepted.order < order:
        return Judgement(ACCEPTED, "accepted; nothing reported yet")
    reported = next((one for one in status.instances if one.instance == instance), None)
    if reported is not None and (reported.section == target.section or reported.state == FAILED):
        return _of(reported)
    if newest is not None and newest > order:
        return Judgement(SUPERSEDED, f"superseded by generation {newest[1]}")
    return Judgement(ACCEPTED, reported.message if reported is not None else "")


def _of(reported: InstanceStatus) -> Judgement:
    phase, why = _phase(reported)
    message = reported.message or why
    match reported.state:
        case "converged":
            return Judgement(CONVERGED, message, phase)
        case "failed":
            return Judgement(FAILED, message, phase)
        case "degraded":
            return Judgement(UPDATING, message or "degraded", phase)
        case _:
            return Judgement(UPDATING, message, phase)


def _phase(reported: InstanceStatus) -> tuple[str, str]:
    """Return the condition that says most about where an update is, with its sentence."""
    holding = {condition.type: condition.message for condition in reported.conditions if condition.status}
    return next(((phase, holding[phase]) for phase in PHASES if phase in holding), ("", ""))
