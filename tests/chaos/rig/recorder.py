"""The recorder: what an app's journal says against the rows of the cloud's database. No code of the product is in it.

A number that Redis acknowledged must be stored once; one whose answer was lost, at most once; one that was refused,
never. Within an epoch samples stand in the order in which they were written, and epochs do not overlap.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgpack

from tests.chaos.rig.writer import value_of

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


@dataclass(frozen=True)
class Entry:
    """A line of the journal."""

    first: int
    last: int
    kind: str
    began: float
    ended: float


@dataclass(frozen=True)
class Kept:
    """One stored sample: its epoch, its number there, and what the app wrote."""

    epoch: int
    number: int
    fields: dict[str, str]


@dataclass(frozen=True)
class Verdict:
    """`lost` are the app's numbers; the rest are counts."""

    acked: int
    unsure: int
    refused: int
    stored: int
    unsure_stored: int
    lost: tuple[int, ...]
    duplicated: int
    foreign: int
    altered: int
    out_of_order: int

    @property
    def whole(self) -> bool:
        return not (self.lost or self.duplicated or self.foreign or self.altered or self.out_of_order)

    def plain(self) -> dict[str, int]:
        return {**vars(self), "lost": len(self.lost)}


def journal(path: Path) -> list[Entry]:
    """Read a journal; its last line may be torn."""
    found = []
    for line in path.read_text().splitlines() if path.exists() else ():
        parts = line.split()
        if len(parts) == 5:
            found.append(Entry(int(parts[0]), int(parts[1]), parts[2], float(parts[3]), float(parts[4])))
    return found


def stored(database: Path, device: str, stream: str) -> list[Kept]:
    """Return every stored sample: epoch by epoch, in order of its numbers."""
    rows = _rows(
        database,
        "SELECT epoch, first, last, gaps, payload FROM batches WHERE device = ? AND stream = ? ORDER BY epoch, first",
        (device, stream),
    )
    found = []
    for epoch, first, last, gaps, payload in rows:
        if not payload:
            continue
        absent = {n for low, high in json.loads(gaps) for n in range(low, high + 1)}
        numbers = [n for n in range(first, last + 1) if n not in absent]
        elements = _elements(payload)
        assert len(elements) == len(numbers), f"{stream} {epoch} {first}-{last} holds {len(elements)} samples"
        found += [Kept(epoch, number, fields) for number, (_, fields) in zip(numbers, elements, strict=True)]
    return found


def _elements(payload: bytes) -> list[tuple[int, dict[str, str]]]:
    """Read `samples.v2`: times as steps, and columns of values for samples that have the same fields."""
    steps, shapes, places = msgpack.unpackb(zstd.decompress(payload), raw=True)
    places = places or [0] * len(steps)
    rows = [_shape_rows(names, columns, places.count(n)) for n, (names, columns) in enumerate(shapes)]
    found, at_ms = [], 0
    for step, place in zip(steps, places, strict=True):
        at_ms += step
        found.append((at_ms, rows[place].pop(0)))
    return found


def _shape_rows(names: list[bytes], columns: list[Any], count: int) -> list[dict[str, str]]:
    values = [_column(column, count) for column in columns]
    return [{_text(name): _text(value[row]) for name, value in zip(names, values, strict=True)} for row in range(count)]


def _column(column: list[Any], count: int) -> list[bytes]:
    kind, rest = column[0], column[1:]
    if kind == 0:
        return [rest[0]] * count
    if kind == 1:
        return list(rest[0])
    decimals, first, others = rest
    numbers = [first]
    for other in others:
        numbers.append((numbers[-1] if kind == 2 else first) + other)
    numbers = numbers if kind == 2 else numbers[1:]
    behind = decimals if isinstance(decimals, list) else [decimals] * count
    most = max(behind)
    return [
        str((Decimal(number) / 10**most).quantize(Decimal(1).scaleb(-places))).encode()
        for number, places in zip(numbers, behind, strict=True)
    ]


def _text(value: bytes) -> str:
    return value.decode(errors="surrogateescape")


def _payload(elements: list[tuple[int, dict[str, str]]]) -> bytes:
    """Write samples without any saving: each with fields of its own."""
    times = [at_ms for at_ms, _ in elements]
    steps = [at_ms - before for at_ms, before in zip(times, [0, *times], strict=False)]
    shapes = [
        [[name.encode() for name in fields], [[1, [value.encode()]] for value in fields.values()]]
        for _, fields in elements
    ]
    return zstd.compress(msgpack.packb([steps, shapes, list(range(len(elements)))], use_bin_type=False))


def gaps(database: Path, device: str, stream: str) -> list[tuple[int, int, int, str]]:
    """Return what is named as lost: epoch, first, last, cause."""
    asked = "SELECT epoch, first, last, cause FROM gaps WHERE device = ? AND stream = ? ORDER BY epoch, first"
    return [
        (int(e), int(low), int(high), str(cause)) for e, low, high, cause in _rows(database, asked, (device, stream))
    ]


def judge(entries: list[Entry], kept: list[Kept]) -> Verdict:
    """Compare."""
    by_kind: dict[str, set[int]] = {"acked": set(), "unsure": set(), "refused": set()}
    for entry in entries:
        by_kind[entry.kind].update(range(entry.first, entry.last + 1))
    seen = Counter(int(sample.fields["n"]) for sample in kept)
    allowed = by_kind["acked"] | by_kind["unsure"]
    return Verdict(
        acked=len(by_kind["acked"]),
        unsure=len(by_kind["unsure"]),
        refused=len(by_kind["refused"]),
        stored=len(kept),
        unsure_stored=sum(1 for n in by_kind["unsure"] if n in seen),
        lost=tuple(sorted(by_kind["acked"] - seen.keys())),
        duplicated=sum(times - 1 for times in seen.values()),
        foreign=sum(1 for n in seen if n not in allowed),
        altered=sum(1 for sample in kept if sample.fields.get("v") != value_of(int(sample.fields["n"]))),
        out_of_order=_out_of_order(kept),
    )


def _out_of_order(kept: list[Kept]) -> int:
    """Count the samples that stand behind a later one, and the epochs that reach into another one."""
    wrong, before = 0, (0, 0)
    spans: dict[int, tuple[int, int]] = {}
    for sample in kept:
        n = int(sample.fields["n"])
        wrong += before[0] == sample.epoch and n <= before[1]
        before = (sample.epoch, n)
        low, high = spans.get(sample.epoch, (n, n))
        spans[sample.epoch] = (min(low, n), max(high, n))
    end = 0
    for low, high in sorted(spans.values()):
        wrong += low <= end
        end = max(end, high)
    return wrong


def unnamed(
    lost: tuple[int, ...], kept: list[Kept], named: list[tuple[int, int, int, str]], *, epoch: int
) -> tuple[int, int]:
    """Return how many lost numbers are in no gap of an epoch, and how many numbers of its gaps are not lost.

    In an epoch in which every write was acknowledged, an app's numbers run beside the stream's: their distance, which
    any stored sample shows, tells of each lost one where its gap must be.
    """
    distances = {int(sample.fields["n"]) - sample.number for sample in kept if sample.epoch == epoch}
    assert len(distances) == 1, f"numbers run apart: {sorted(distances)[:5]}"
    distance = distances.pop()
    in_gaps = {n + distance for of, low, high, _ in named if of == epoch for n in range(low, high + 1)}
    return len(set(lost) - in_gaps), len(in_gaps - set(lost))


def planted(database: Path, device: str, stream: str, *, folder: Path) -> dict[str, Path]:
    """Return two copies of the database: in one the last sample of a batch is gone, in the other it is there twice."""
    made = {}
    place = "device = ? AND stream = ? AND epoch = ? AND first = ?"
    for what in ("loss", "duplicate"):
        made[what] = folder / f"{what}.db"
        _copy(database, made[what])
        tx = sqlite3.connect(made[what])
        epoch, first, payload = tx.execute(
            "SELECT epoch, first, payload FROM batches WHERE device = ? AND stream = ? AND last > first LIMIT 1",
            (device, stream),
        ).fetchone()
        elements = _elements(payload)
        if what == "loss":
            less = _payload(elements[:-1])
            changed = f"UPDATE batches SET last = last - 1, payload = ? WHERE {place}"  # noqa: S608 - our own words
            tx.execute(changed, (less, device, stream, epoch, first))
        else:  # in an epoch in which nothing else is, as nothing else could be stored
            columns = "at_boot, at_mono_ms, at_wall_ms, at_clock, received_ms, arrival + 1000000000"
            tx.execute(
                "INSERT INTO batches (device, stream, epoch, first, last, format, payload, gaps, at_boot, at_mono_ms,"  # noqa: S608
                " at_wall_ms, at_clock, received_ms, arrival)"
                f" SELECT device, stream, 1, 1, 1, format, ?, '[]', {columns} FROM batches WHERE {place}",
                (_payload(elements[-1:]), device, stream, epoch, first),
            )
        tx.commit()
        tx.close()
    return made


def _copy(database: Path, target: Path) -> None:
    source, copy = sqlite3.connect(f"file:{database}?mode=ro", uri=True), sqlite3.connect(target)
    source.backup(copy)
    copy.close()
    source.close()


def _rows(database: Path, query: str, values: tuple[str, ...]) -> list[Any]:
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)
    try:
        return connection.execute(query, values).fetchall()
    finally:
        connection.close()
