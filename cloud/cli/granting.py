"""Rows of a device's policy as people write them on a command line. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from broker.policy import Grants
from cloud.cli.errors import RequestRefused


def granted(texts: Iterable[str]) -> dict[str, Any]:
    """Return the grants that `ROW` and `ROW=ENTRY` say; refuse (`bad_grants`) what is no row of a policy, or a slip."""
    rows: dict[str, Any] = {}
    for text in texts:
        row, equals, entry = text.partition("=")
        known = Grants.model_fields.get(row)
        if known is None:
            names = ", ".join(Grants.model_fields)
            raise RequestRefused(
                "bad_grants", f"--grant {text[:60]!r} names no row of a policy", hint=f"one of {names}"
            )
        if (known.annotation is bool) == bool(equals):
            form = row if known.annotation is bool else f"{row}=ENTRY"
            raise RequestRefused("bad_grants", f"--grant {text[:60]!r} is not complete", hint=f"write --grant {form}")
        if equals:
            rows.setdefault(row, []).append(entry)
        else:
            rows[row] = True
    for row, why in Grants.model_validate(rows).mistakes():
        raise RequestRefused("bad_grants", f"--grant {row}: {why}")
    return rows
