"""Single values: texts, flags, numbers, sizes, durations, modes; and mappings that may be written as lists. Pure."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from decimal import Decimal, InvalidOperation

from compose.errors import Path
from compose.forms.words import shell_words
from compose.shapes import Shape, mistyped, wrong
from compose.tree import Items, Node, Scalar, Table

_TRUE = ("true", "yes", "y", "on")
_FALSE = ("false", "no", "n", "off")
_SIZE = re.compile(r"(-?[0-9]+(?:\.[0-9]+)?)\s*([kmgtp]?)i?b?", re.IGNORECASE)
_SIZE_POWER = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h|d|w)")
_UNIT_NANOS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
    "d": 24 * 3600 * 10**9,
    "w": 7 * 24 * 3600 * 10**9,
}
_NUMBER_DIGITS_MAX = 30
_EXPONENT_FROM = 6  # other Compose tools write 1000000.0 as 1e+06, and apps see what they write
INT_MAX = 2**63 - 1  # what an engine can be told


def text(node: Node, path: Path) -> Node:
    """A text; a number must be quoted, because `3.10` would silently become `3.1`."""
    if isinstance(node, Scalar) and isinstance(node.value, str):
        return node
    cure = "; put it in quotes" if isinstance(node, Scalar) and node.value is not None else ""
    raise wrong(node, path, f"must be a text{cure}") if cure else mistyped(node, path, "a text")


def text_or_number(node: Node, path: Path) -> Node:
    """A text or a number, as a text."""
    if isinstance(node, Scalar) and isinstance(node.value, str | int | float) and not isinstance(node.value, bool):
        return replace(node, value=written(node.value))
    raise mistyped(node, path, "a text or a number")


def text_or_flag(node: Node, path: Path) -> Node:
    """A text, true or false."""
    if isinstance(node, Scalar) and isinstance(node.value, str | bool):
        return node
    raise mistyped(node, path, "a text, true or false")


def flag(node: Node, path: Path) -> Node:
    """True or false, also as a text, because a variable may have brought it."""
    if isinstance(node, Scalar) and isinstance(node.value, bool):
        return node
    if isinstance(node, Scalar) and isinstance(node.value, str):
        word = node.value.lower()
        if word in _TRUE or word in _FALSE:
            return replace(node, value=word in _TRUE)
        raise wrong(node, path, f"must be true or false, not {node.value[:40]!r}")
    raise mistyped(node, path, "true or false")


def whole(node: Node, path: Path) -> Node:
    """A whole number."""
    value = _number(node, path)
    if value != value.to_integral_value() or abs(value) > INT_MAX:
        raise wrong(node, path, f"must be a whole number, not {value}")
    return Scalar(int(value), str(int(value)), node.place, node.mark)


def number(node: Node, path: Path) -> Node:
    """A number, perhaps with a fraction."""
    value = _number(node, path)
    exact: int | float = int(value) if value == value.to_integral_value() else float(value)
    return Scalar(exact, str(exact), node.place, node.mark)


def natural(node: Node, path: Path) -> Node:
    """A whole number that is not negative."""
    result = whole(node, path)
    if isinstance(result, Scalar) and isinstance(result.value, int) and result.value < 0:
        raise wrong(node, path, f"must not be negative, but is {result.value}")
    return result


def _number(node: Node, path: Path) -> Decimal:
    if not isinstance(node, Scalar) or node.value is None or isinstance(node.value, bool):
        raise mistyped(node, path, "a number")
    try:
        value = Decimal(str(node.value).strip())
    except InvalidOperation:
        raise wrong(node, path, f"must be a number, not {str(node.value)[:40]!r}") from None
    if not value.is_finite() or abs(value.adjusted()) > _NUMBER_DIGITS_MAX:
        raise wrong(node, path, f"must be an ordinary number, not {str(node.value)[:40]!r}")
    return value


def size(node: Node, path: Path) -> Node:
    """A number of bytes: `512`, `64k`, `1.5gb`; as an integer."""
    value = _size(node, path)
    if value < 0:
        raise wrong(node, path, f"must not be negative, but is {value}")
    return Scalar(value, str(value), node.place, node.mark)


def size_or_unlimited(node: Node, path: Path) -> Node:
    """A number of bytes, or -1."""
    value = _size(node, path)
    if value < -1:
        raise wrong(node, path, f"must be a size or -1, but is {value}")
    return Scalar(value, str(value), node.place, node.mark)


def size_text(node: Node, path: Path) -> Node:
    """A number of bytes that must be written as a text."""
    return size(text(node, path), path)


def _size(node: Node, path: Path) -> int:
    if not isinstance(node, Scalar) or node.value is None or isinstance(node.value, bool | float):
        raise mistyped(node, path, "a whole number of bytes or a size such as 64m")
    match = _SIZE.fullmatch(str(node.value).strip())
    if match is None or len(match[1]) > _NUMBER_DIGITS_MAX:
        raise wrong(node, path, f"must be a size such as 512k, 64m or 1.5g, not {str(node.value)[:40]!r}")
    value = int(Decimal(match[1]) * 1024 ** _SIZE_POWER[match[2].lower()])
    if abs(value) > INT_MAX:
        raise wrong(node, path, "is larger than any machine")
    return value


def duration(node: Node, path: Path) -> Node:
    """A duration such as `1m30s`, as milliseconds; what is shorter than one millisecond counts as one."""
    if not isinstance(node, Scalar) or not isinstance(node.value, str):
        raise wrong(node, path, f"must be a duration such as 30s or 1m30s, but is {kind_with_unit(node)}")
    millis = milliseconds(node.value.strip())
    if millis is None or millis > INT_MAX:
        raise wrong(node, path, f"must be a duration such as 500ms, 30s or 1m30s, not {node.value[:40]!r}")
    return Scalar(millis, node.value, node.place, node.mark)


def microseconds(node: Node, path: Path) -> Node:
    """A span of processor time: a number of microseconds, or a duration."""
    if isinstance(node, Scalar) and isinstance(node.value, str) and not node.value.isdigit():
        nanos = _nanoseconds(node.value.strip())
        if nanos is None or nanos > INT_MAX:
            raise wrong(
                node, path, f"must be a duration such as 50ms or a number of microseconds, not {node.value[:40]!r}"
            )
        return Scalar(int(nanos / 1000), node.value, node.place, node.mark)
    return natural(node, path)


def kind_with_unit(node: Node) -> str:
    if isinstance(node, Scalar) and isinstance(node.value, int | float) and not isinstance(node.value, bool):
        return f"a number without a unit; write {node.text[:20]}s for seconds"
    return "something else"


def milliseconds(written_duration: str) -> int | None:
    """Return the length of `1h2m3.5s` and the like in milliseconds, or None when it is not a duration."""
    nanos = _nanoseconds(written_duration)
    return None if nanos is None else math.ceil(nanos / 10**6)


def _nanoseconds(written_duration: str) -> Decimal | None:
    if written_duration == "0":
        return Decimal(0)
    at = 0
    nanos = Decimal(0)
    while at < len(written_duration):
        part = _DURATION_PART.match(written_duration, at)
        if part is None or len(part[1]) > _NUMBER_DIGITS_MAX:
            return None
        nanos += Decimal(part[1]) * _UNIT_NANOS[part[2]]
        at = part.end()
    return nanos if at else None


def mode(node: Node, path: Path) -> Node:
    """The permission bits of a file: octal in writing, an integer in the canonical form."""
    if isinstance(node, Scalar):
        if isinstance(node.value, int) and not isinstance(node.value, bool) and 0 <= node.value <= 0o7777:
            return node
        if isinstance(node.value, str) and re.fullmatch(r"(0o?)?[0-7]{1,4}", node.value):
            return replace(node, value=int(node.value.removeprefix("0o") or "0", 8))
    raise wrong(node, path, "must be permissions in octal, such as 0440")


def written(value: str | int | float | bool | None) -> str:
    """Return a scalar as the text an environment or label gets: as Compose writes it, `1.10` being the number 1.1."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _written_float(value)
    return str(value)


def _written_float(value: float) -> str:
    if not math.isfinite(value):
        return str(value)
    exponent = Decimal(repr(value)).adjusted()
    if -5 < exponent < _EXPONENT_FROM:
        return format(Decimal(repr(value)).normalize(), "f")
    digits, _, power = format(Decimal(repr(value)).normalize(), "e").partition("e")
    return f"{digits}e{power[0]}{power[1:].zfill(2)}"


def pairs(*, bare: str | None = "") -> Shape:
    """Return the shape of a mapping or list of `NAME=value`; `bare` is the value of a name without `=`."""

    def shape(node: Node, path: Path) -> Node:
        if isinstance(node, Table):
            return node.of({key: _pair_value(item, (*path, key), bare) for key, item in node.nodes.items()})
        if not isinstance(node, Items):
            raise mistyped(node, path, "a mapping or a list of NAME=value")
        nodes: dict[str, Node] = {}
        for at, item in enumerate(node.nodes):
            if not isinstance(item, Scalar) or not isinstance(item.value, str):
                raise mistyped(item, (*path, at), "a text NAME=value")
            name, sign, value = item.value.partition("=")
            if not name:
                raise wrong(item, (*path, at), f"{item.value[:40]!r} has no name before the '='")
            nodes[name] = Scalar(value if sign else bare, value, item.place, item.mark)
        return Table(nodes, node.place)

    return shape


def _pair_value(node: Node, path: Path, bare: str | None) -> Node:
    if not isinstance(node, Scalar):
        raise mistyped(node, path, "a text, a number, true, false or empty")
    if not path[-1]:
        raise wrong(node, path, "an empty name has no meaning; remove it")
    return replace(node, value=bare if node.value is None else written(node.value))


def options(*, empty: bool = False) -> Shape:
    """Return the shape of a mapping of texts and numbers, as texts: options for a driver. Some may be `empty`."""

    def shape(node: Node, path: Path) -> Node:
        if not isinstance(node, Table):
            raise mistyped(node, path, "a mapping")
        nodes: dict[str, Node] = {}
        for key, item in node.nodes.items():
            if not isinstance(item, Scalar) or isinstance(item.value, bool) or (item.value is None and not empty):
                raise wrong(item, (*path, key), "must be a text or a number; put it in quotes")
            nodes[key] = replace(item, value=written(item.value))
        return node.of(nodes)

    return shape


def command(node: Node, path: Path) -> Node:
    """A command as a list; a text is split into words, but no shell is involved. Empty stays empty."""
    if isinstance(node, Scalar) and node.value is None:
        return node
    if isinstance(node, Scalar) and isinstance(node.value, str):
        try:
            words, _ = shell_words(node.value)
        except ValueError as error:
            raise wrong(node, path, f"{error}; write the command as a list") from None
        return Items(tuple(Scalar(word, word, node.place) for word in words), node.place)
    if isinstance(node, Items):
        return node.of(tuple(text(item, (*path, at)) for at, item in enumerate(node.nodes)))
    raise mistyped(node, path, "a text or a list of texts")
