"""`x-skerry` of a service: its keys, what they may hold, and which of them this version carries out. Pure."""

from __future__ import annotations

from dataclasses import replace

from compose.errors import Path, Unsupported
from compose.forms.values import flag
from compose.project import Project
from compose.shapes import Shape, one_of, record
from compose.tree import Node, Scalar

TELEMETRY = ("none", "socket", "tcp")
DISPLAY = ("auto", "require", "off")


def _words(words: tuple[str, ...], *, yes: str, no: str) -> Shape:
    """Return the shape of one of `words`, where true and false stand for two of them."""
    inner = one_of(*words)

    def shape(node: Node, path: Path) -> Node:
        if isinstance(node, Scalar) and isinstance(node.value, bool):
            return replace(node, value=yes if node.value else no)
        return inner(node, path)

    return shape


SKERRY = record(
    {
        "telemetry": _words(TELEMETRY, yes="socket", no="none"),
        "redis": flag,
        "display": _words(DISPLAY, yes="auto", no="off"),
        "lock": flag,
    }
)

NOT_YET = {
    "redis": "this version runs no Redis for an app; run one as a service of the app",
    "display": "this version gives no app a display",
    "lock": "this version has no locks that an app can hold against updates",
}


def refuse_what_is_not_carried_out(project: Project) -> None:
    """Raise `Unsupported` for the first key of `x-skerry` that asks for what this version cannot do."""
    for name, service in project.services.items():
        for key, value in (service.skerry.plain() if service.skerry else {}).items():
            if key in NOT_YET and value not in (False, "off"):
                raise Unsupported(f"is refused: {NOT_YET[key]}", path=("services", name, "x-skerry", key))
