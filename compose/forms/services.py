"""Smaller records of a service: health checks, environment files, host addresses, ulimits, external resources. Pure."""

from __future__ import annotations

import re
from dataclasses import replace

from compose.errors import Path
from compose.forms.values import flag, text, whole
from compose.shapes import mistyped, one_of, record, wrong
from compose.tree import Items, Node, Scalar, Table

_ENV_FILE = record({"path": text, "required": flag, "format": one_of("raw")})
_ULIMIT = record({"soft": whole, "hard": whole})
_EXTERNAL = record({"name": text})
_HOST = re.compile(r"([^=:\s]+)(?:=(.*)|:([^=]*))")


def environment_file(node: Node, path: Path) -> Node:
    """A file of environment variables, as a mapping."""
    if isinstance(node, Table):
        return _ENV_FILE(node, path)
    return Table({"path": text(node, path)}, node.place)


def ulimit(node: Node, path: Path) -> Node:
    """One limit for soft and hard, or both."""
    return _ULIMIT(node, path) if isinstance(node, Table) else whole(node, path)


def external(node: Node, path: Path) -> Node:
    """True, false, or the old form with a name."""
    return _EXTERNAL(node, path) if isinstance(node, Table) else flag(node, path)


def test(node: Node, path: Path) -> Node:
    """A health command: a text is for a shell; a list starts with NONE, CMD or CMD-SHELL."""
    if isinstance(node, Scalar) and isinstance(node.value, str):
        return Items((Scalar("CMD-SHELL", "CMD-SHELL", node.place), node), node.place)
    if not isinstance(node, Items):
        raise mistyped(node, path, "a text or a list of texts")
    items = tuple(text(item, (*path, at)) for at, item in enumerate(node.nodes))
    first = items[0] if items else None
    if first is not None and (not isinstance(first, Scalar) or first.value not in ("NONE", "CMD", "CMD-SHELL")):
        raise wrong(node, path, "must start with CMD, CMD-SHELL or NONE; or write the command as a text")
    return node.of(items)


def host_addresses(node: Node, path: Path) -> Node:
    """Host names and their addresses: `host=address` or `host:address` in a list, or a mapping."""
    nodes: dict[str, Node] = {}
    if isinstance(node, Table):
        for name, item in node.nodes.items():
            if not _HOST.fullmatch(f"{name}="):
                raise wrong(item, path, f"{name[:40]!r} is not the name of a host")
            many = item if isinstance(item, Items) else Items((item,), item.place, item.mark)
            addresses = tuple(_address(one, (*path, name)) for one in many.nodes)
            nodes[name] = many.of(addresses)
        return node.of(nodes)
    if not isinstance(node, Items):
        raise mistyped(node, path, "a mapping or a list of host=address")
    found: dict[str, list[Node]] = {}
    for at, item in enumerate(node.nodes):
        match = _HOST.fullmatch(str(text(item, (*path, at)).value)) if isinstance(item, Scalar) else None  # type: ignore[union-attr]
        if match is None:
            raise wrong(item, (*path, at), "must be host=address")
        for address in (match[2] or match[3] or "").split(","):
            found.setdefault(match[1], []).append(_address(Scalar(address, address, item.place), (*path, at)))
    return Table({name: Items(tuple(items), node.place) for name, items in found.items()}, node.place)


def _address(node: Node, path: Path) -> Node:
    result = text(node, path)
    assert isinstance(result, Scalar)
    address = str(result.value).strip()
    if address.startswith("[") and address.endswith("]"):
        address = address[1:-1]
    return replace(result, value=address)
