"""Paths on the developer's machine: where they stand in a project, and what they are relative to. Pure."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path as FilePath
from pathlib import PureWindowsPath

from compose.tree import Items, Node, Scalar, Table, text_of

_REMOTE = re.compile(
    r"[a-z][a-z0-9+.-]*://.*|git@.*|github\.com/.*|.*\.git(#.*)?|(target|service|docker-image|oci-layout):.*"
)
Resolve = Callable[[str], str]


def is_remote(text: str) -> bool:
    """Return whether a build context or included file is an address rather than a path."""
    return _REMOTE.fullmatch(text) is not None


def resolver(folder: FilePath, home: str) -> Resolve:
    """Return the function that makes a written path absolute, relative to `folder`, with `~` for `home`."""

    def resolve(written: str) -> str:
        if written == "~" or written.startswith("~/"):
            written = home + written[1:]
        absolute = os.path.isabs(written) or PureWindowsPath(written).is_absolute()
        return written if absolute else os.path.normpath(os.path.join(folder, written))

    return resolve


def resolved(file: Table, resolve: Resolve) -> Table:
    """Return a canonical file with every path absolute."""
    inner: Mapping[str, Callable[[Table, Resolve], Table]] = {
        "services": _service,
        "jobs": _service,
        "volumes": _volume,
        "secrets": _file,
        "configs": _file,
    }
    nodes = dict(file.nodes)
    for key, change in inner.items():
        section = nodes.get(key)
        if isinstance(section, Table):
            nodes[key] = _each(section, lambda item, change=change: change(item, resolve))  # type: ignore[misc]
    return file.of(nodes)


def _each(section: Table, change: Callable[[Table], Table]) -> Table:
    nodes = {key: change(item) if isinstance(item, Table) else item for key, item in section.nodes.items()}
    return section.of(nodes)


def _service(service: Table, resolve: Resolve) -> Table:
    nodes = dict(service.nodes)
    for key, change in _SERVICE_CHANGES.items():
        if key in nodes:
            nodes[key] = change(nodes[key], resolve)
    hooks = nodes.get("pre_start")
    if isinstance(hooks, Items):
        inner = tuple(_service(hook, resolve) if isinstance(hook, Table) else hook for hook in hooks.nodes)
        nodes["pre_start"] = hooks.of(inner)
    return service.of(nodes)


def _path(node: Node, resolve: Resolve) -> Node:
    if not isinstance(node, Scalar) or not isinstance(node.value, str) or not node.value:
        return node
    return replace(node, value=resolve(node.value))


def _path_or_address(node: Node, resolve: Resolve) -> Node:
    return node if is_remote(text_of(node)) else _path(node, resolve)


def _key(key: str) -> Callable[[Node, Resolve], Node]:
    def change(node: Node, resolve: Resolve) -> Node:
        if isinstance(node, Items):
            return node.of(tuple(change(item, resolve) for item in node.nodes))
        if isinstance(node, Table) and key in node.nodes:
            return node.having(**{key: _path(node.nodes[key], resolve)})
        return node

    return change


def _texts(node: Node, resolve: Resolve) -> Node:
    return node.of(tuple(_path(item, resolve) for item in node.nodes)) if isinstance(node, Items) else node


def _build(node: Node, resolve: Resolve) -> Node:
    if not isinstance(node, Table):
        return node
    nodes = dict(node.nodes)
    if not text_of(nodes.get("context")):
        nodes.pop("context", None)  # the project's folder, then
    else:
        nodes["context"] = _path_or_address(nodes["context"], resolve)
    for key, change in (("additional_contexts", _path_or_address), ("ssh", _path)):
        inner = nodes.get(key)
        if isinstance(inner, Table):
            entries = {k: change(n, resolve) if text_of(n) else n for k, n in inner.nodes.items()}
            nodes[key] = inner.of(entries)
    return node.of(nodes)


def _mounts(node: Node, resolve: Resolve) -> Node:
    if not isinstance(node, Items):
        return node
    return node.of(tuple(_mount(item, resolve) for item in node.nodes))


def _mount(node: Node, resolve: Resolve) -> Node:
    if isinstance(node, Table) and text_of(node.nodes.get("type")) == "bind" and text_of(node.nodes.get("source")):
        return node.having(source=_path(node.nodes["source"], resolve))
    return node


def _develop(node: Node, resolve: Resolve) -> Node:
    if isinstance(node, Table) and "watch" in node.nodes:
        return node.having(watch=_key("path")(node.nodes["watch"], resolve))
    return node


_SERVICE_CHANGES: dict[str, Callable[[Node, Resolve], Node]] = {
    "build": _build,
    "env_file": _key("path"),
    "label_file": _texts,
    "volumes": _mounts,
    "develop": _develop,
    "extends": _key("file"),
    "credential_spec": _key("file"),
}


def _file(item: Table, resolve: Resolve) -> Table:
    return item.having(file=_path(item.nodes["file"], resolve)) if "file" in item.nodes else item


def _volume(item: Table, resolve: Resolve) -> Table:
    """Make the folder of a local volume that is a bind mount absolute."""
    options = item.nodes.get("driver_opts")
    if not isinstance(options, Table) or "bind" not in text_of(options.nodes.get("o")).split(","):
        return item
    if not text_of(options.nodes.get("device")):
        return item
    return item.having(driver_opts=options.having(device=_path(options.nodes["device"], resolve)))
