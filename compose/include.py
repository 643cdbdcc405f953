"""`include`: other projects as part of this one. Pure; the models of the other projects come from `load`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from compose.errors import ComposeError, Path, Place
from compose.tree import Items, Table, plain, table_of, text_of

SECTIONS = ("services", "networks", "volumes", "secrets", "configs", "models", "jobs")


@dataclass(frozen=True)
class Inclusion:
    """One entry: the files that make up the other project, its folder and environment files as written."""

    files: tuple[str, ...]
    project_directory: str
    env_files: tuple[str, ...]
    place: Place
    path: Path


def inclusions(file: Table) -> list[Inclusion]:
    """Return what a canonical file includes."""
    entries = file.nodes.get("include")
    found: list[Inclusion] = []
    for at, entry in enumerate(entries.nodes if isinstance(entries, Items) else ()):
        nodes = table_of(entry).nodes
        inclusion = Inclusion(
            files=_texts(nodes.get("path")),
            project_directory=text_of(nodes.get("project_directory")),
            env_files=_texts(nodes.get("env_file")),
            place=entry.place,
            path=("include", at),
        )
        if not inclusion.files:
            raise ComposeError("needs 'path', the file to include", place=entry.place, path=inclusion.path)
        found.append(inclusion)
    return found


def _texts(node: object) -> tuple[str, ...]:
    return tuple(text_of(item) for item in node.nodes) if isinstance(node, Items) else ()


def with_included(file: Table, load: Callable[[Inclusion], Table]) -> Table:
    """Return a file with everything it includes as if it stood there. What both define must be the same."""
    result = file.without("include")
    for inclusion in inclusions(file):
        model = load(inclusion)
        for section in SECTIONS:
            if section in model.nodes:
                result = result.having(**{section: _joined(result, table_of(model.nodes[section]), section, inclusion)})
    return result


def _joined(file: Table, other: Table, section: str, inclusion: Inclusion) -> Table:
    own = table_of(file.nodes.get(section))
    for name, node in other.nodes.items():
        if name in own.nodes and plain(own.nodes[name]) != plain(node):
            message = f"{section}.{name} is defined here and by the included file; rename or remove one of them"
            raise ComposeError(message, place=inclusion.place, path=inclusion.path)
    return replace(own, nodes={**own.nodes, **other.nodes}, place=own.place if own.nodes else other.place)
