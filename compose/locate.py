"""Where in its files a key of a project stands: for what is only found wrong when all is put together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path as FilePath

from compose.errors import NOWHERE, Place
from compose.source import Source
from compose.tree import Items, Node, Table


def written_at(path: str, documents: Sequence[Table]) -> Place:
    """Return where the last document that has the key `path`, or most of it, has it.

    A key that an included or extended file brings is not found, and has no place.
    """
    best = (1, NOWHERE)  # `services` alone says nothing
    for document in documents:
        parts = 0
        for parts, node in enumerate(_along(path, document), start=1):
            if parts >= max(best[0], 2):
                best = (parts, node.place)
    return best[1]


def documents_of(files: Sequence[FilePath], shown_from: FilePath) -> list[Table]:
    """Return what the files hold, as written."""
    source = Source(shown_from=shown_from, home="", warn=lambda line: None)
    return [document for file in files for document in source.documents(file.absolute())]


def _along(path: str, node: Node) -> Iterator[Node]:
    """Yield the nodes under each key of a dotted path, as far as it goes; keys may themselves have dots."""
    while path:
        if isinstance(node, Table):
            keys = [key for key in node.nodes if path == key or path.startswith((f"{key}.", f"{key}["))]
            if not keys:
                return
            key = max(keys, key=len)
            node, path = node.nodes[key], path[len(key) :].removeprefix(".")
        elif isinstance(node, Items) and path.startswith("["):
            number, _, path = path[1:].partition("]")
            path = path.removeprefix(".")
            if not number.isdigit() or int(number) >= len(node.nodes):
                return
            node = node.nodes[int(number)]
        else:
            return
        yield node
