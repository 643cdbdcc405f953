"""How long loading the largest real projects of the cases takes, against `docker-compose` 1.29 of Debian.

Both print the project's canonical form, each as a process of its own; ours also inside one process, without start-up.
What `docker-compose` is too old to load, it refuses, and then the time until it does so is what is compared.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from compose.canonical import canonical
from compose.load import load
from compose.reference_form import reference_form
from compose.tree import Plain

CASES = Path(__file__).resolve().parents[1] / "tests" / "compose_cases" / "valid"


def size(case: Path) -> int:
    """Return how much text the files that a case names have."""
    return sum((case / file).stat().st_size for file in json.loads((case / "case.json").read_text())["compose"])


def real(case: Path) -> bool:
    return bool(json.loads((case / "case.json").read_text()).get("origin") == "real application")


def median_ms(once: Callable[[], object], runs: int) -> float:
    """Return the median of several runs, after one that is not counted."""
    once()
    return statistics.median(elapsed_ms(once) for _ in range(runs))


def elapsed_ms(once: Callable[[], object]) -> float:
    started = time.perf_counter()
    once()
    return (time.perf_counter() - started) * 1000


def process(*command: str, folder: Path) -> bool:
    """Run a command; return whether it succeeded."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False, timeout=60)
    return done.returncode == 0


@dataclass(frozen=True)
class Placed:
    """A case copied to a folder of its own."""

    name: str
    root: Path
    files: list[Path]

    def theirs(self) -> list[str]:
        """Return the command line of `docker-compose`."""
        return ["docker-compose", *(part for file in self.files for part in ("-f", str(file))), "config"]

    def ours(self) -> list[str]:
        return [sys.executable, "-m", "cloud.cli.main", "app", "config", *map(str, self.files)]


def placed(case: Path, folder: Path) -> Placed:
    root = folder / case.name / "app"
    shutil.copytree(case / "src", root)
    names = [Path(file).relative_to("src") for file in json.loads((case / "case.json").read_text())["compose"]]
    return Placed(case.name, root, [root / name for name in names])


def figures(case: Placed, runs: int) -> dict[str, object]:
    """Return what was measured of one case. The two commands take turns, so that both see the same machine."""
    loaded = canonical(case.files, environment={})
    result: dict[str, object] = {
        "case": case.name,
        "bytes": sum(file.stat().st_size for file in case.files),
        "services": len(plain_table(loaded.document["services"])),
        "load_ms": median_ms(lambda: reference_form(canonical(case.files, environment={}).document), runs),
        "load_typed_ms": median_ms(lambda: load(case.files, environment={}), runs),
        "theirs_loads": theirs_loads(case),
    }
    pairs = [
        (elapsed_ms(lambda: process(*case.ours(), folder=case.root)), elapsed_ms(lambda: theirs_loads(case)))
        for _ in range(runs)
    ]
    result["skerry_ms"], result["docker_compose_ms"] = (statistics.median(times) for times in zip(*pairs, strict=True))
    result["ratio"] = round(statistics.median(ours / theirs for ours, theirs in pairs), 3)
    return {key: round(value, 1) if key.endswith("_ms") else value for key, value in result.items()}  # type: ignore[call-overload]


def theirs_loads(case: Placed) -> bool:
    return process(*case.theirs(), folder=case.root)


def plain_table(value: Plain) -> dict[str, Plain]:
    assert isinstance(value, dict)
    return value


def main() -> None:
    """Measure the largest real case, and the largest that `docker-compose` loads as well."""
    parser = argparse.ArgumentParser(prog="python -m bench.compose_load", description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    arguments = parser.parse_args()
    if not shutil.which("docker-compose"):
        parser.exit(1, "docker-compose is missing, which this compares with: apt-get install docker-compose\n")
    cases = sorted((case for case in CASES.iterdir() if real(case)), key=size, reverse=True)
    with tempfile.TemporaryDirectory() as name:
        largest, *others = (placed(case, Path(name)) for case in cases)
        print(json.dumps(figures(largest, arguments.runs)))
        both = next(case for case in (largest, *others) if theirs_loads(case))
        print(json.dumps(figures(both, arguments.runs)))


if __name__ == "__main__":
    main()
