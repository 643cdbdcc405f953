"""How far a device is with a deployment. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from broker.messages import Generation, InstanceStatus, Status
from cloud.store.rows import Target

PENDING = "pending"
ACCEPTED = "accepted"
UPDATING = "updating"
CONVERGED = "converged"
FAILED = "failed"


@dataclass(frozen=True)
class Judgement:
    state: str
    message: str = ""


def judge(
    target: Target, instance: str, *, accepted: Generation | None, status: Status | None, newest: Generation | None
) -> Judgement:
    """Return the state of one target, from what the device has accepted and reported.

    A status counts only when it was made with this or a newer desired state accepted.
    """
    order = (target.era, target.generation)
    if accepted is None or accepted.order < order:
        return Judgement(PENDING, "the device has not accepted it yet")
    if status is None or status.accepted is None or status.accepted.order < order:
        return Judgement(ACCEPTED, "accepted; nothing reported yet")
    reported = next((one for one in status.instances if one.instance == instance), None)
    if reported is not None and (reported.section == target.section or reported.state == FAILED):
        return _of(reported)
    if newest is not None and newest.order > order:
        return Judgement(ACCEPTED, f"superseded by generation {newest.generation}")
    return Judgement(ACCEPTED, reported.message if reported is not None else "")


def _of(reported: InstanceStatus) -> Judgement:
    match reported.state:
        case "converged":
            return Judgement(CONVERGED, reported.message)
        case "failed":
            return Judgement(FAILED, reported.message)
        case "degraded":
            return Judgement(UPDATING, reported.message or "degraded")
        case _:
            return Judgement(UPDATING, reported.message)
