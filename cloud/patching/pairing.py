"""Which layer of the image before a changed one is most like: by the command that made it, by what it holds. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Contents:
    """What a layer holds: the size of each file by its path, and the command that made it, as far as it is known."""

    files: Mapping[str, int]
    command: str


def partner(changed: Contents, bases: Sequence[Contents]) -> int | None:
    """Return the number of the base that shares most bytes of files by path; None where nothing speaks for any.

    The same command counts as much as half of the layer: a copied program whose name holds its version shares no path.
    """
    best, best_score = None, 0
    for number, base in enumerate(bases):
        shared = sum(min(size, base.files[path]) for path, size in changed.files.items() if path in base.files)
        same = bool(changed.command) and changed.command == base.command
        score = shared + (sum(changed.files.values()) // 2 + 1 if same else 0)
        if score > best_score:
            best, best_score = number, score
    return best
