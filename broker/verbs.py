"""The verbs of commands and their arguments: what the cloud sends and a worker obeys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from broker.codec import first_error
from broker.errors import Refused
from broker.ids import InstanceId

ServiceName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9._-]{1,128}$")]


class Arguments(BaseModel):
    """The arguments of a verb. Unknown ones are refused: a worker must not do less than it was asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class NoArguments(Arguments):
    """For the device as a whole."""


class AppArguments(Arguments):
    """For one app instance."""

    instance: InstanceId


class ServiceArguments(AppArguments):
    """For one app instance, or one of its services."""

    service: ServiceName | None = None


APP_RESTART, APP_STOP, APP_START = "app.restart", "app.stop", "app.start"
APP_UNLOCK = "app.unlock"
DEVICE_RESYNC, DEVICE_PRUNE = "device.resync", "device.prune"

VERBS: Mapping[str, type[Arguments]] = {
    APP_RESTART: ServiceArguments,
    APP_STOP: ServiceArguments,
    APP_START: ServiceArguments,
    APP_UNLOCK: AppArguments,
    DEVICE_RESYNC: NoArguments,
    DEVICE_PRUNE: NoArguments,
}


def arguments(verb: str, given: Mapping[str, Any]) -> Arguments:
    """Return the checked arguments; raise `Refused` (`not_supported`, `bad_arguments`)."""
    model = VERBS.get(verb)
    if model is None:
        raise Refused("not_supported", f"{verb[:64]!r} is not a verb known here")
    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        raise Refused("bad_arguments", f"{verb}: {first_error(error)}") from error
