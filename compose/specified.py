"""Parts of an AppSpec, made from values of a project: what the AppSpec does not take is refused in our words. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from pydantic import ValidationError

from compose.errors import Path, Unsupported, one_line

_OWN_PLACE = re.compile(r"([a-z][A-Za-z0-9_.-]*): ")
AnyPart = TypeVar("AnyPart")

_WORDS = {"Value error, ": "", "Input should": "must", "String should": "must", "Tuple should": "must"}


def specified(path: Path, make: Callable[[], AnyPart]) -> AnyPart:
    """Return what `make` makes; raise `Unsupported` at `path`, or below it, when it is not valid."""
    try:
        return make()
    except ValidationError as error:
        first = error.errors()[0]
        if first["type"] == "string_pattern_mismatch":
            message = f"{str(first['input'])[:80]!r} is not possible on a device; the form is {first['ctx']['pattern']}"
        else:
            message = first["msg"]
            for theirs, ours in _WORDS.items():
                message = message.replace(theirs, ours)
        where = (*path, *first["loc"])
        if first["type"] == "value_error" and (own := _OWN_PLACE.match(message)):  # wrong between parts: it tells where
            where, message = (*where, own[1]), message[own.end() :]
        raise Unsupported(one_line(message), path=where) from error
