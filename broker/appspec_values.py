"""What an AppSpec is made of: texts, numbers and paths within bounds, and the base of all its parts. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

LABEL_PREFIX = "io.skerry."  # ours alone: an app that sets such a label could be taken for another, so it is refused

Port = Annotated[int, Field(ge=1, le=65535)]
Millis = Annotated[int, Field(ge=0, le=7 * 24 * 3600 * 1000)]
Count = Annotated[int, Field(ge=0, le=2**63 - 1)]  # what an engine can be told
HostName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,252}$")]
Text = Annotated[str, StringConstraints(max_length=32 * 1024, pattern=r"^[^\x00]*$")]
Texts = tuple[Text, ...]
ENGINE_NAME = "[a-zA-Z0-9][a-zA-Z0-9_.-]{0,253}"  # what an engine calls a container, network or volume
EngineName = Annotated[str, StringConstraints(pattern=rf"^({ENGINE_NAME})?$")]
AbsolutePath = Annotated[str, StringConstraints(pattern=r"^/[^\x00]*$", max_length=4096)]
TextMap = Mapping[Annotated[str, StringConstraints(max_length=1024, pattern=r"^[^\x00]+$")], Text]


def _not_ours(labels: Mapping[str, str]) -> Mapping[str, str]:
    for label in labels:
        if label.startswith(LABEL_PREFIX):
            raise ValueError(f"label {label!r}: the prefix {LABEL_PREFIX!r} is reserved")
    return labels


Labels = Annotated[TextMap, AfterValidator(_not_ours)]


def later(default: Any) -> Any:
    """Return a field that few apps use: left out at its default, for a message's bytes are money."""
    return Field(default=default, exclude_if=lambda value: bool(value == default))


class Spec(BaseModel):
    """Base of all parts: frozen, and strict about what it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")
