"""Completeness of what a device sent, from the stored rows: each number is stored, named as lost, or missing. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cloud.ranges import Range, count, without

SHOWN_MAX = 100  # ranges of each kind that are listed; all are counted


@dataclass(frozen=True)
class Rows:
    """The rows of one (stream, epoch): batches with the numbers inside that have no element, gaps with causes, and what
    was dropped for its age."""

    batches: Sequence[tuple[int, int, tuple[Range, ...]]]
    gaps: Sequence[tuple[int, int, str]]
    expired: Sequence[Range] = ()


@dataclass(frozen=True)
class Findings:
    """What became of the numbers of one (stream, epoch).

    `missing` are neither stored nor named as lost, though later ones are; `twice` are in two rows; `unkept` are
    acknowledged without a row; `waiting` are on the device, as it said at its last birth. `expired` were stored, and
    have been dropped because the organisation keeps nothing for longer.
    """

    stream: str
    epoch: int
    stored: tuple[Range, ...]
    lost: Mapping[str, tuple[Range, ...]]
    missing: tuple[Range, ...]
    twice: tuple[Range, ...]
    unkept: tuple[Range, ...]
    waiting: tuple[Range, ...]
    expired: tuple[Range, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether everything that is not waiting is stored or named as lost, once."""
        return not (self.missing or self.twice or self.unkept)

    def plain(self) -> dict[str, object]:
        """Return it as the API answers it: counts of all, and the first ranges of each kind."""
        return {
            "stream": self.stream,
            "epoch": self.epoch,
            "complete": self.complete,
            "stored": _listed(self.stored),
            "lost": {cause: _listed(ranges) for cause, ranges in sorted(self.lost.items())},
            "missing": _listed(self.missing),
            "twice": _listed(self.twice),
            "unkept": _listed(self.unkept),
            "waiting": _listed(self.waiting),
            "expired": _listed(self.expired),
        }


def audited(stream: str, epoch: int, rows: Rows, *, acked: Sequence[Range], kept_to: int) -> Findings:
    """Compare rows with each other, with what was acknowledged, and with the last number that the device has made."""
    stored: list[Range] = []
    for first, last, without_element in rows.batches:
        stored += _less([(first, last)], without_element)
    lost: dict[str, list[Range]] = {}
    for first, last, cause in rows.gaps:
        lost.setdefault(cause, []).append((first, last))
    every = sorted(stored + [gap for ranges in lost.values() for gap in ranges] + list(rows.expired))
    known, twice = _merged(every)
    end = known[-1][1] if known else 0
    missing = _less([(1, end)], known) if end else []
    return Findings(
        stream,
        epoch,
        stored=tuple(_merged(sorted(stored))[0]),
        lost={cause: tuple(_merged(sorted(ranges))[0]) for cause, ranges in lost.items()},
        missing=tuple(missing),
        twice=tuple(twice),
        unkept=tuple(_less(_less(acked, known), missing)),
        waiting=((end + 1, kept_to),) if kept_to > end else (),
        expired=tuple(rows.expired),
    )


def totals(findings: Sequence[Findings]) -> dict[str, int]:
    """Return how many numbers of all streams are of each kind."""
    sums: Counter[str] = Counter(stored=0, lost=0, missing=0, twice=0, unkept=0, waiting=0, expired=0)
    for one in findings:
        sums["stored"] += count(one.stored)
        sums["lost"] += sum(count(ranges) for ranges in one.lost.values())
        for kind in ("missing", "twice", "unkept", "waiting", "expired"):
            sums[kind] += count(getattr(one, kind))
    return dict(sums)


def _merged(ranges: Sequence[Range]) -> tuple[list[Range], list[Range]]:
    """Return sorted ranges joined where they touch, and the numbers that are in more than one of them."""
    joined: list[Range] = []
    twice: list[Range] = []
    for first, last in ranges:
        if joined and first <= joined[-1][1] + 1:
            if first <= joined[-1][1]:
                twice.append((first, min(last, joined[-1][1])))
            joined[-1] = (joined[-1][0], max(joined[-1][1], last))
        else:
            joined.append((first, last))
    return joined, twice


def _less(ranges: Sequence[Range], holes: Sequence[Range]) -> list[Range]:
    """Return what is left of ranges outside of holes; both sorted."""
    left: list[Range] = []
    for whole in ranges:
        rest = [whole]
        for hole in holes:
            if hole[1] < rest[-1][0]:
                continue
            if hole[0] > rest[-1][1]:
                break
            parts = without(rest.pop(), hole)
            rest += parts
            if not parts:
                break
        left += rest
    return left


def _listed(ranges: tuple[Range, ...]) -> dict[str, object]:
    return {"count": count(ranges), "ranges": [list(each) for each in ranges[:SHOWN_MAX]], "of": len(ranges)}
