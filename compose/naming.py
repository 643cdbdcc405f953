"""The project's name: where it comes from and what it may be. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from compose.errors import ComposeError
from compose.interpolate import Template, substitute
from compose.tree import Scalar, Table

_REFUSED = re.compile(r"[^a-z0-9_-]")
NAME_CHARS_MAX = 63


def given_name(documents: Sequence[Table], environment: Mapping[str, str]) -> str:
    """Return the `name` of the last document that has one, or an empty text."""
    for document in reversed(documents):
        node = document.nodes.get("name")
        if isinstance(node, Scalar) and isinstance(node.value, str):
            try:
                return substitute(node.value, environment.get)
            except Template as error:
                raise ComposeError(str(error), place=node.place, path=("name",)) from error
    return ""


def checked_name(name: str) -> str:
    """Return a name that was given on purpose, or none; refuse one that would have to be changed."""
    if name and (_REFUSED.search(name) or name[0] in "_-" or len(name) > NAME_CHARS_MAX):
        rule = f"lower-case letters, digits, '-' and '_', at most {NAME_CHARS_MAX}, the first a letter or digit"
        raise ComposeError(f"{name[:80]!r} cannot name a project; use {rule}", path=("name",))
    return name


def project_name(given: str, folder: Path) -> str:
    """Return a valid name made of the given one, or of the folder's."""
    name = _REFUSED.sub("", (given or folder.name).lower()).lstrip("_-")[:NAME_CHARS_MAX]
    if name:
        return name
    origin = f"{given!r}" if given else f"the folder {folder.name!r}"
    raise ComposeError(f"{origin} gives no valid project name; use letters, digits, '-' and '_'", path=("name",))
