"""The proof: what the app says it wrote against what the cloud's database holds, number by number."""

from __future__ import annotations

import sqlite3
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from broker.payloads import unpack_samples


@dataclass(frozen=True)
class Audit:
    """`written` was counted by the app in its own file; the rest was read from the database."""

    written: int
    stored: int
    lost: int
    duplicated: int

    @property
    def holds(self) -> bool:
        return self.written == self.stored and self.written > 0 and not self.lost and not self.duplicated


def stored_rows(database: Path, *, device: str, stream: str) -> int:
    """Return how many samples the database holds, by SQL alone."""
    with _reading(database) as connection:
        (rows,) = connection.execute(
            "SELECT coalesce(sum(last - first + 1), 0) FROM batches WHERE device = ? AND stream = ? AND payload != x''",
            (device, stream),
        ).fetchone()
    connection.close()
    return int(rows)


def audit(database: Path, *, device: str, stream: str, written: int) -> Audit:
    """Compare. The app numbers its samples from 1 in the field `n`: each must be there exactly once."""
    with _reading(database) as connection:
        payloads = connection.execute(
            "SELECT payload FROM batches WHERE device = ? AND stream = ? AND payload != x''", (device, stream)
        ).fetchall()
    connection.close()
    seen = Counter(int(sample.fields["n"]) for (payload,) in payloads for sample in unpack_samples(payload))
    return Audit(
        written=written,
        stored=stored_rows(database, device=device, stream=stream),
        lost=sum(1 for number in range(1, written + 1) if number not in seen),
        duplicated=sum(times - 1 for times in seen.values()),
    )


def _reading(database: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=10)
