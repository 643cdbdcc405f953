"""The canonical bytes of a plain value, and digests over them: the identity of releases, sections and containers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping


def canonical(value: object) -> bytes:
    """Return JSON with sorted keys, no spaces and UTF-8 text: equal values give equal bytes.

    Floats are refused, because two writers may spell one number differently.
    """
    _no_floats(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest(data: bytes) -> str:
    """Return `sha256:` and 64 hexadecimal digits."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def digest_of(value: object) -> str:
    """Return the digest of the canonical bytes of `value`."""
    return digest(canonical(value))


def _no_floats(value: object) -> None:
    if isinstance(value, float):
        raise TypeError(f"a float ({value!r}) has no canonical form: use an integer of a smaller unit")
    if isinstance(value, Mapping):
        for item in value.values():
            _no_floats(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _no_floats(item)
