"""Variables in texts: `$NAME`, `${NAME:-default}` and their kin, in one text and in every value of a tree. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from operator import is_not

from compose.errors import ComposeError, MissingVariable, Path, Place
from compose.tree import Items, Node, Scalar, Table

Lookup = Callable[[str], str | None]
Unset = Callable[[str], None]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BRACED = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?:(:?[-?+])(.*))?", re.DOTALL)
NESTED_MAX = 20  # `${A:-${B:-${C}}}` is 3; the bound keeps hostile texts from exhausting the stack
RESULT_CHARS_MAX = 1024 * 1024


class Template(Exception):
    """A text that cannot be interpolated; the caller knows the place and raises a `ComposeError`."""

    def __init__(self, message: str, *, required: bool = False) -> None:
        super().__init__(message)
        self.required = required


def substitute(text: str, lookup: Lookup, unset: Unset = lambda name: None, *, nested: int = 0) -> str:
    """Return `text` with its variables replaced; `unset` hears the names that had no value. Raise `Template`.

    A `$` that starts no variable stands for itself, as it does in a shell and in other Compose tools.
    """
    if "$" not in text:
        return text
    if nested > NESTED_MAX:
        raise Template(f"variables are nested deeper than {NESTED_MAX}")
    parts: list[str] = []
    at = 0
    while (dollar := text.find("$", at)) >= 0:
        parts.append(text[at:dollar])
        following = text[dollar + 1 : dollar + 2]
        if following == "$":
            parts.append("$")
            at = dollar + 2
        elif following == "{":
            end = _closing_brace(text, dollar + 1)
            parts.append(_braced(text[dollar + 2 : end], lookup, unset, nested))
            at = end + 1
        elif name := _NAME.match(text, dollar + 1):
            parts.append(_plain(name[0], lookup, unset))
            at = name.end()
        else:
            parts.append("$")
            at = dollar + 1
    result = "".join([*parts, text[at:]])
    if len(result) > RESULT_CHARS_MAX:
        raise Template(f"the value is longer than {RESULT_CHARS_MAX} characters once variables are replaced")
    return result


def _closing_brace(text: str, opening: int) -> int:
    first = text.find("}", opening)
    if first >= 0 and "{" not in text[opening + 1 : first]:
        return first  # nothing is nested, as nearly always
    depth = 0
    for at in range(opening, len(text)):
        depth += (text[at] == "{") - (text[at] == "}")  # all braces: a default may be JSON
        if depth == 0:
            return at
    if (last := text.rfind("}", opening)) >= 0 and "${" not in text[opening:last]:
        return last  # a lone brace in a default
    raise Template(f"{text[:80]!r}: '${{' without its '}}'")


def _plain(name: str, lookup: Lookup, unset: Unset) -> str:
    value = lookup(name)
    if value is None:
        unset(name)
    return value or ""


def _braced(inside: str, lookup: Lookup, unset: Unset, nested: int) -> str:
    match = _BRACED.fullmatch(inside)
    if match is None:
        raise Template(f"${{{inside[:80]}}}: not a variable; the forms are ${{A}}, ${{A:-b}}, ${{A:?b}}, ${{A:+b}}")
    name, operator, word = match.groups()
    if operator is None:
        return _plain(name, lookup, unset)
    value = lookup(name)
    given = value is not None and (value != "" or not operator.startswith(":"))
    match operator[-1]:
        case "-" if not given:
            return substitute(word, lookup, unset, nested=nested + 1)
        case "+":
            return substitute(word, lookup, unset, nested=nested + 1) if given else ""
        case "?" if not given:
            message = substitute(word, lookup, unset, nested=nested + 1)
            raise Template(f"variable {name} must be set{': ' + message if message else ''}", required=True)
    return value or ""


def interpolated(node: Node, lookup: Lookup, warn: Callable[[Place, str], None], path: Path = ()) -> Node:
    """Return the tree with the variables in all values (not in keys) replaced. `warn` hears what was not set."""
    match node:
        case Table():
            changed: dict[str, Node] = {}
            for key, inner in node.nodes.items():
                result = interpolated(inner, lookup, warn, (*path, key))
                if result is not inner:
                    changed[key] = result
            return node.of({**node.nodes, **changed}) if changed else node
        case Items():
            nodes = tuple(interpolated(inner, lookup, warn, (*path, at)) for at, inner in enumerate(node.nodes))
            return node.of(nodes) if any(map(is_not, nodes, node.nodes)) else node
        case Scalar(value=str() as text) if "$" in text:
            place = node.place

            def unset(name: str) -> None:
                warn(place, f"variable {name} is not set and counts as empty")

            try:
                value = substitute(text, lookup, unset)
            except Template as error:
                kind = MissingVariable if error.required else ComposeError
                raise kind(str(error), place=place, path=path) from error
            return replace(node, value=value, text=value)
        case Scalar():
            return node


def layered(*maps: Mapping[str, str]) -> dict[str, str]:
    """Return one environment of several; an earlier one wins over a later one."""
    result: dict[str, str] = {}
    for one in reversed(maps):
        result.update(one)
    return result
