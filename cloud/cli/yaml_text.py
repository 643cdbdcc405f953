"""Plain data to YAML text that any YAML reader takes for the same data. Pure.

The loader's YAML library has one owner, which reads; writing plain data needs only this.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

# Words that no version of YAML takes for anything but a text; all others are quoted as JSON, which is YAML.
_SAFE = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*( [A-Za-z0-9_./]+)*")
_NOT_TEXT = frozenset({"null", "true", "false", "yes", "no", "on", "off", "y", "n"})


def yaml_text(document: Mapping[str, object]) -> str:
    """Return the document in block style, keys in their order."""
    return "\n".join(_lines(document)) + "\n"


def _lines(value: object) -> Iterator[str]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _entry(f"{_scalar(str(key))}:", inner)
    elif isinstance(value, list | tuple) and value:
        for inner in value:
            first, *rest = _lines(inner)
            yield f"- {first}"
            yield from (f"  {line}" for line in rest)
    else:
        yield _scalar(value)


def _entry(key: str, value: object) -> Iterator[str]:
    if isinstance(value, Mapping | list | tuple) and value:
        yield key
        yield from (f"  {line}" for line in _lines(value))
    else:
        yield f"{key} {_scalar(value)}"


def _scalar(value: object) -> str:
    if isinstance(value, str) and _SAFE.fullmatch(value) and value.lower() not in _NOT_TEXT:
        return value
    text = json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)
    return "".join(char if char.isprintable() else _escaped(ord(char)) for char in text)


def _escaped(code: int) -> str:
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
