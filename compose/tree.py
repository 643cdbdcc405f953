"""The tree of a Compose file: immutable nodes that remember where they were written and how they merge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from compose.errors import NOWHERE, Place

Plain = str | int | float | bool | list["Plain"] | dict[str, "Plain"] | None


class Mark(Enum):
    """How a node meets what an earlier file said at its place."""

    MERGE = "merge"
    RESET = "!reset"  # take the earlier value away
    OVERRIDE = "!override"  # replace the earlier value instead of merging


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value. `text` is what was written, which matters where a number is not a number (`mode: 0440`)."""

    value: str | int | float | bool | None
    text: str = ""
    place: Place = NOWHERE
    mark: Mark = Mark.MERGE


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    nodes: tuple[Node, ...]
    place: Place = NOWHERE
    mark: Mark = Mark.MERGE

    def of(self, nodes: tuple[Node, ...]) -> Items:
        """Return the list with other elements; `replace` takes several times as long."""
        return Items(nodes, self.place, self.mark)


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping. A node under a key carries the place of the key."""

    nodes: Mapping[str, Node]
    place: Place = NOWHERE
    mark: Mark = Mark.MERGE

    def of(self, nodes: Mapping[str, Node]) -> Table:
        """Return the mapping with other entries; `replace` takes several times as long."""
        return Table(nodes, self.place, self.mark)

    def without(self, *keys: str) -> Table:
        return self.of({key: node for key, node in self.nodes.items() if key not in keys})

    def having(self, **nodes: Node) -> Table:
        return self.of({**self.nodes, **nodes})


Node = Scalar | Items | Table
AnyNode = TypeVar("AnyNode", Scalar, Items, Table)


def moved(node: Node, place: Place) -> Node:
    """Return `node` as if it had been written at `place`."""
    if node.place == place:
        return node
    match node:  # by hand: `replace` takes several times as long, and the reader calls this for every key
        case Scalar():
            return Scalar(node.value, node.text, place, node.mark)
        case Items():
            return Items(node.nodes, place, node.mark)
        case Table():
            return Table(node.nodes, place, node.mark)


def plain(node: Node) -> Plain:
    """Return the values alone."""
    match node:
        case Scalar():
            return node.value
        case Items():
            return [plain(item) for item in node.nodes]
        case Table():
            return {key: plain(item) for key, item in node.nodes.items()}


def grown(value: Plain, place: Place) -> Node:
    """Return `value` as a tree that was written at `place`."""
    if isinstance(value, dict):
        return Table({key: grown(item, place) for key, item in value.items()}, place)
    if isinstance(value, list):
        return Items(tuple(grown(item, place) for item in value), place)
    return Scalar(value, "" if value is None else str(value), place)


def kind(node: Node) -> str:
    """Return what a node is, in the words of an error message."""
    match node:
        case Items():
            return "a list"
        case Table():
            return "a mapping"
        case Scalar(value=None):
            return "empty"
        case Scalar(value=bool()):
            return "a boolean"
        case Scalar(value=int() | float()):
            return "a number"
        case Scalar():
            return "a text"


def table_of(node: Node | None) -> Table:
    """Return `node` if it is a mapping, and an empty mapping otherwise: for places that were checked before."""
    return node if isinstance(node, Table) else Table({})


def text_of(node: Node | None) -> str:
    """Return the text of a scalar node, and an empty text for anything else: for places that were checked before."""
    return str(node.value) if isinstance(node, Scalar) and node.value is not None else ""
