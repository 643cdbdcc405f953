"""`x-skerry` of a service: its keys, and what they may hold. Pure."""

from __future__ import annotations

from dataclasses import replace

from compose.errors import Path
from compose.forms.values import flag
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
