"""The compact form of what devices send and get most: positions in place of names, bytes in place of hexadecimal.

A beat, a will, a sync and a batch travel as an array that begins with the number of its form; another form is another
number. Elements at the end may be missing, which means their default, and further ones are passed over: so a form can
grow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from broker.errors import Refused
from broker.messages import Batch, Beat, Conn, Gap, Generation, Instant, Refusal, StreamHeld, Sync, Will

BEAT, WILL, SYNC, BATCH = 1, 2, 3, 4  # the numbers of the forms
_DIGEST = "sha256:"

POSITIONS: dict[int, tuple[type[BaseModel], tuple[str, ...]]] = {
    BEAT: (Beat, ("conn", "n", "era", "generation", "status")),
    WILL: (Will, ("conn",)),
    SYNC: (Sync, ("conn", "n", "store", "time_ms", "status", "desired", "replies", "streams")),
    BATCH: (Batch, ("conn", "n", "stream", "epoch", "first", "last", "at", "format", "payload", "gaps")),
}
PARTS: dict[str, tuple[type[BaseModel], tuple[str, ...]]] = {
    "conn": (Conn, ("boot", "count")),
    "desired": (Generation, ("era", "generation", "digest")),
    "streams": (StreamHeld, ("stream", "epoch", "contiguous", "ranges", "refused")),
    "refused": (Refusal, ("first", "last", "reason", "retry_after_s")),
    "at": (Instant, ("boot", "mono_ms", "wall_ms", "clock")),
    "gaps": (Gap, ("first", "last", "cause")),
}
_MANY = frozenset({"streams", "refused", "gaps"})  # parts that come as an array of them
_TURNED = frozenset({*PARTS, "boot", "digest"})  # what has another form here than in a message
_NUMBER_OF = {model: number for number, (model, _) in POSITIONS.items()}


def packed(message: BaseModel) -> list[Any] | None:
    """Return the compact form; None for a message that has none."""
    number = _NUMBER_OF.get(type(message))
    return None if number is None else [number, *_array(message, POSITIONS[number][1])]


def unpacked(form: Sequence[Any]) -> dict[str, Any]:
    """Return the fields of a message by name, not validated yet; raise `Refused` where the form itself is wrong."""
    number = form[0] if form else None
    if type(number) is not int or number not in POSITIONS:  # true is equal to 1
        raise Refused("unknown_version", f"compact form {str(number)[:20]}: not known here")
    model, names = POSITIONS[number]
    kind = model.model_fields.get("kind")
    return _named(form[1:], names) | ({"kind": kind.default} if kind is not None else {})


def _array(part: BaseModel, names: Sequence[str]) -> list[Any]:
    values = [_value(name, getattr(part, name)) for name in names]
    while values and _is_default(part, names[len(values) - 1]):
        values.pop()
    return values


def _is_default(part: BaseModel, name: str) -> bool:
    field = type(part).model_fields[name]
    return not field.is_required() and bool(getattr(part, name) == field.get_default())


def _value(name: str, value: Any) -> Any:
    if name in PARTS and value is not None:
        names = PARTS[name][1]
        return [_array(one, names) for one in value] if name in _MANY else _array(value, names)
    if name == "boot":
        return bytes.fromhex(value)
    if name == "digest":
        return bytes.fromhex(value.removeprefix(_DIGEST))
    return [list(one) if isinstance(one, tuple) else one for one in value] if isinstance(value, tuple) else value


def _named(values: Any, names: Sequence[str]) -> dict[str, Any]:
    if not isinstance(values, list):
        raise Refused("malformed", f"a {type(values).__name__} where a compact form has an array")
    given = zip(names, values, strict=False)
    return {name: _restored(name, value) if name in _TURNED else value for name, value in given if value is not None}


def _restored(name: str, value: Any) -> Any:
    if name in PARTS:
        names = PARTS[name][1]
        if name not in _MANY:
            return _named(value, names)
        if not isinstance(value, list):
            raise Refused("malformed", f"{name} of a compact form is no array")
        return [_named(one, names) for one in value]
    if name == "boot" and isinstance(value, bytes):
        return value.hex()
    if name == "digest" and isinstance(value, bytes):
        return _DIGEST + value.hex()
    return value
