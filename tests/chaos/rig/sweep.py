"""The sweep both stories share: which points there are, one update for each, and the count of what came out."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from random import Random

from tests.chaos.rig.island import Island, Outcome, Point
from tests.harness.servers import use_unpacked_servers

TRIES = 3  # for a point that was not passed in an update, before it counts as not hit
GOOD = ("one", "two")  # releases that work


@dataclass
class Tally:
    """What a sweep has done so far."""

    seed: int
    began: float = field(default_factory=time.monotonic)
    outcomes: list[Outcome] = field(default_factory=list)
    points: frozenset[Point] = frozenset()

    def add(self, outcome: Outcome, *, quiet: bool) -> None:
        self.outcomes.append(outcome)
        if not quiet:
            mark = "FAULT" if outcome.fault else ("killed" if outcome.landed else "passed")
            print(
                f"{len(self.outcomes):4} {mark:6} {outcome.point:50} -> {outcome.recovered}, {outcome.finally_}"
                f" {outcome.fault}",
                file=sys.stderr,
                flush=True,
            )

    @property
    def kills(self) -> int:
        return sum(outcome.landed for outcome in self.outcomes)

    @property
    def faults(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.fault]

    def summary(self) -> dict[str, object]:
        landed = [outcome for outcome in self.outcomes if outcome.landed]
        hit = {outcome.point for outcome in landed}
        return {
            "seed": self.seed,
            "commit": _commit(),
            "updates": len(self.outcomes),
            "points": len({point.name for point in self.points}),
            "points_hit": len({point.name for point in self.points if str(point) in hit}),
            "passes": len(self.points),  # a point is passed more than once in an update
            "passes_hit": len({point for point in self.points if str(point) in hit}),
            "kills": len(landed),
            "recovered": dict(Counter(outcome.recovered for outcome in landed)),
            "faults": [f"{outcome.point}: {outcome.fault}" for outcome in self.faults],
            "seconds": round(time.monotonic() - self.began),
        }


def sweep(island: Island, tally: Tally, *, kills: int | None, random_times: bool, quiet: bool) -> None:
    """Kill at every point once (`kills` None), or `kills` times at points and times drawn with the tally's seed."""
    random = Random(tally.seed)  # noqa: S311 - a story that can be told again, not a secret
    plans: dict[str, list[Point]] = {"good": _unique(island, _next(island)), "broken": _unique(island, "broken")}
    tally.points = frozenset(point for points in plans.values() for point in points)
    every = [(kind, point) for kind, points in plans.items() for point in points]
    random.shuffle(every)
    if kills is None:
        for kind, point in every:
            _until_hit(island, kind, point, tally, quiet=quiet)
        return
    while tally.kills < kills and len(tally.outcomes) < TRIES * kills and island.running in GOOD:
        kind, point = random.choice(every)
        if random_times and random.random() < 0.5:
            after_s = 0.3 + random.random() * 3.0
            tally.add(island.update(_target(island, kind), None, after_s=after_s), quiet=quiet)
        else:
            tally.add(island.update(_target(island, kind), point), quiet=quiet)


def _until_hit(island: Island, kind: str, point: Point, tally: Tally, *, quiet: bool) -> None:
    """Try one point; again where it was not passed, as steps that run side by side pass in another order."""
    for _ in range(TRIES):
        if island.running not in GOOD:
            return  # nothing later could be judged
        outcome = island.update(_target(island, kind), point)
        tally.add(outcome, quiet=quiet)
        if outcome.landed:
            return


def _target(island: Island, kind: str) -> str:
    return "broken" if kind == "broken" else _next(island)


def _next(island: Island) -> str:
    return "two" if island.running == "one" else "one"


def _unique(island: Island, to: str) -> list[Point]:
    return list(dict.fromkeys(island.passed(to)))


def arguments(description: str | None, *, kills: int | None) -> argparse.Namespace:
    use_unpacked_servers()
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=kills, help="how many; all points once where none is said")
    parser.add_argument("--plant", action="store_true", help="plant a fault after each recovery: all must be found")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def finish(tally: Tally, *, as_json: bool) -> int:
    """Print what came out; return the exit status: 1 when something was not as promised."""
    summary = tally.summary()
    if as_json:
        print(json.dumps(summary))
    else:
        for name, value in summary.items():
            print(f"{name:12} {value}")
    return 1 if tally.faults else 0


def _commit() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip()
