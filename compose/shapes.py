"""What a shape is: a function that checks a node and returns its canonical form; and how shapes are put together. Pure.

A shape is applied to each file by itself, before files are merged, so that every message has a file and a line. It
therefore does not ask for keys that another file may bring: `compose/validate.py` does, after merging.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from compose.errors import ComposeError, Path, UnknownKey
from compose.tree import Items, Mark, Node, Scalar, Table, kind

Shape = Callable[[Node, Path], Node]

NAME_PATTERN = re.compile(r"[a-zA-Z0-9._-]+")


def wrong(node: Node, path: Path, message: str) -> ComposeError:
    return ComposeError(message, place=node.place, path=path)


def mistyped(node: Node, path: Path, wanted: str) -> ComposeError:
    cure = "; remove the key or give it a value" if kind(node) == "empty" else ""
    return wrong(node, path, f"must be {wanted}, but is {kind(node)}{cure}")


def shaped(shape: Shape, node: Node, path: Path) -> Node:
    """Return `node` in the canonical form of `shape`, with its mark; what is to be reset is not looked at."""
    if node.mark is Mark.RESET:
        return node
    result = shape(node, path)
    return result if result.mark is node.mark else replace(result, mark=node.mark)


def anything(node: Node, path: Path) -> Node:
    return node


def one_of(*words: str) -> Shape:
    """Return the shape of a text that is one of `words`."""

    def shape(node: Node, path: Path) -> Node:
        if not isinstance(node, Scalar) or node.value not in words:
            raise wrong(node, path, f"must be one of {', '.join(words)}")
        return node

    return shape


def nullable(inner: Shape) -> Shape:
    """Return `inner`, or empty."""

    def shape(node: Node, path: Path) -> Node:
        return node if isinstance(node, Scalar) and node.value is None else inner(node, path)

    return shape


def list_of(inner: Shape) -> Shape:
    """Return the shape of a list."""

    def shape(node: Node, path: Path) -> Node:
        if not isinstance(node, Items):
            raise mistyped(node, path, "a list")
        return node.of(tuple(shaped(inner, item, (*path, at)) for at, item in enumerate(node.nodes)))

    return shape


def single_or_list(inner: Shape) -> Shape:
    """Return the shape of a list that may be written as its only element."""
    many = list_of(inner)

    def shape(node: Node, path: Path) -> Node:
        if isinstance(node, Items):
            return many(node, path)
        return Items((inner(replace(node, mark=Mark.MERGE), path),), node.place)

    return shape


def table(inner: Shape, *, names: bool = False) -> Shape:
    """Return the shape of a mapping from free keys, or from `names` as Compose allows them, to values of one shape."""

    def shape(node: Node, path: Path) -> Node:
        if not isinstance(node, Table):
            raise mistyped(node, path, "a mapping")
        nodes: dict[str, Node] = {}
        for key, value in node.nodes.items():
            if names and not NAME_PATTERN.fullmatch(key):
                rule = "a name has only letters, digits, '.', '_' and '-'"
                raise UnknownKey(f"{key[:80]!r} is not a valid name; {rule}", place=value.place, path=path)
            nodes[key] = shaped(inner, value, (*path, key))
        return node.of(nodes)

    return shape


def record(shapes: Mapping[str, Shape], *, finish: Shape = anything) -> Shape:
    """Return the shape of a mapping with known keys (and `x-` keys, which are kept as they are)."""

    def shape(node: Node, path: Path) -> Node:
        if not isinstance(node, Table):
            raise mistyped(node, path, "a mapping")
        nodes: dict[str, Node] = {}
        for key, value in node.nodes.items():
            inner = shapes.get(key)
            if inner is not None:
                nodes[key] = shaped(inner, value, (*path, key))
            elif key.startswith("x-"):
                nodes[key] = value
            else:
                raise unknown_key(key, value, path, shapes)
        return finish(node.of(nodes), path)

    return shape


def short_or_record(short: Shape, long: Shape) -> Shape:
    """Return the shape of a mapping that may be written shorter."""

    def shape(node: Node, path: Path) -> Node:
        return long(node, path) if isinstance(node, Table) else short(node, path)

    return shape


def names_or_table(default: Mapping[str, Scalar], inner: Shape) -> Shape:
    """Return the shape of a mapping that may be written as the list of its keys, each then with `default`."""
    long = table(inner, names=True)

    def shape(node: Node, path: Path) -> Node:
        if not isinstance(node, Items):
            return long(node, path)
        nodes: dict[str, Node] = {}
        for at, item in enumerate(node.nodes):
            if not isinstance(item, Scalar) or not isinstance(item.value, str):
                raise mistyped(item, (*path, at), "a name")
            entry = {key: replace(value, place=item.place) for key, value in default.items()}
            nodes[item.value] = Table(entry, item.place) if default else Scalar(None, "", item.place)
        return long(Table(nodes, node.place), path)

    return shape


def unknown_key(key: str, value: Node, path: Path, known: Mapping[str, Shape]) -> UnknownKey:
    close = difflib.get_close_matches(key, known, n=1)
    cure = f"; did you mean {close[0]!r}?" if close else "; remove it, or call it 'x-...' to keep it as a note"
    return UnknownKey(f"{key[:80]!r} is not a key of Compose here{cure}", place=value.place, path=path)
