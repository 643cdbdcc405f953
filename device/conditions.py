"""The worker's conditions: each a fact with a reason for machines and a sentence for people. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from broker.errors import Refused
from broker.messages import RETIRED, Condition, DesiredState, Retire


def engine(error: str) -> Condition:
    """Whether the container engine answers."""
    if error:
        return Condition(type="EngineAnswers", status=False, reason="unavailable", message=error[:2000])
    return Condition(type="EngineAnswers", status=True)


def storage(errors: Mapping[str, str]) -> Condition:
    """Whether the worker can write what it must keep; `errors` by who writes, empty where the last write held."""
    for _, message in sorted(errors.items()):
        if message:
            return Condition(type="StateWritable", status=False, reason="unavailable", message=message[:2000])
    return Condition(type="StateWritable", status=True)


def refused(channel: str, error: Refused) -> Condition:
    """The last message of a channel that was refused."""
    return Condition(type=f"Refused.{channel}", status=True, reason=error.reason, message=str(error)[:2000])


def intake(errors: Mapping[str, str], turned_away: Mapping[str, str]) -> Condition:
    """Whether every network that asks for it reaches the telemetry intake, and none has met its limit just now."""
    for reason, told in (("listen_failed", errors), ("too_many_connections", turned_away)):
        if told:
            message = "; ".join(message for _, message in sorted(told.items()))
            return Condition(type="IntakeReachable", status=False, reason=reason, message=message[:2000])
    return Condition(type="IntakeReachable", status=True)


def redis(name: str, reason: str, message: str) -> Condition:
    """Whether one of the two Redis children works as it was left."""
    return Condition(type=f"Telemetry{name}", status=not reason, reason=reason, message=message[:2000])


def images(error: str) -> Condition:
    """Whether engines can pull images from this device: its port may be another program's."""
    if error:
        return Condition(type="ImagesServed", status=False, reason="port_taken", message=error[:2000])
    return Condition(type="ImagesServed", status=True)


def patches(saved_bytes: int, whole_bytes: int, failed: str) -> Condition:
    """What patches saved of all that was fetched, and why the last layer with a patch had to do without, if one had."""
    told = f"patches saved {saved_bytes} of {whole_bytes} bytes of layers since the worker started"
    if failed:
        return Condition(type="PatchesApply", status=False, reason="fell_back", message=f"{told}; {failed}"[:2000])
    return Condition(type="PatchesApply", status=True, message=told)


def retired(retire: Retire | None, *, wiped: bool) -> Condition:
    """Whether a device that is to go has wiped what it was told to."""
    if retire is None:
        return Condition(type=RETIRED, status=False)
    if not wiped:
        return Condition(type=RETIRED, status=False, reason="wiping", message="its apps are being removed")
    return Condition(type=RETIRED, status=True, reason=retire.wipe, message=f"wiped {retire.wipe}")


def reserved(desired: DesiredState) -> Condition:
    """Which sections of the desired state this worker does not carry out."""
    present = [name for name in ("host", "worker") if getattr(desired, name) is not None]
    if present:
        names = ", ".join(present)
        return Condition(
            type="AllSectionsSupported",
            status=False,
            reason="not_supported",
            message=f"this worker does not carry out: {names}",
        )
    return Condition(type="AllSectionsSupported", status=True)
