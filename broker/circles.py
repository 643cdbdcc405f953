"""Circles in what depends on what: one of them, to be shown to a person. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter


def dependency_cycle(edges: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Return one circle of names, first and last equal, or an empty list."""
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []
