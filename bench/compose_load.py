"""How long loading the largest real project of the cases takes, against `docker-compose` where it is installed.

Both print the project's canonical form, each as a process of its own; ours also inside one process, without start-up.
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

from compose.load import load
from compose.reference_form import reference_form

CASES = Path(__file__).resolve().parents[1] / "tests" / "compose_cases" / "valid"


def size(case: Path) -> int:
    """Return how much text the files that a case names have."""
    return sum((case / file).stat().st_size for file in json.loads((case / "case.json").read_text())["compose"])


def real(case: Path) -> bool:
    return bool(json.loads((case / "case.json").read_text()).get("origin") == "real application")


def median_ms(once: Callable[[], object], runs: int) -> float:
    """Return the median of several runs, after one that is not counted."""
    once()
    times: list[float] = []
    for _ in range(runs):
        started = time.perf_counter()
        once()
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times)


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
    """Return what was measured of one case."""
    project = load(case.files, environment={})
    result: dict[str, object] = {
        "case": case.name,
        "bytes": sum(file.stat().st_size for file in case.files),
        "services": len(project.services),
        "load_ms": median_ms(lambda: reference_form(load(case.files, environment={}).plain()), runs),
        "skerry_ms": median_ms(lambda: process(*case.ours(), folder=case.root), runs),
    }
    if shutil.which("docker-compose") and process(*case.theirs(), folder=case.root):
        result["docker_compose_ms"] = median_ms(lambda: process(*case.theirs(), folder=case.root), runs)
    return {key: round(value, 1) if isinstance(value, float) else value for key, value in result.items()}


def main() -> None:
    """Measure the largest real case, and the largest that `docker-compose` loads as well."""
    parser = argparse.ArgumentParser(prog="python -m bench.compose_load", description=__doc__)
    parser.add_argument("--runs", type=int, default=7)
    arguments = parser.parse_args()
    cases = sorted((case for case in CASES.iterdir() if real(case)), key=size, reverse=True)
    with tempfile.TemporaryDirectory() as name:
        largest, *others = (placed(case, Path(name)) for case in cases)
        found = figures(largest, arguments.runs)
        print(json.dumps(found))
        if "docker_compose_ms" in found or not shutil.which("docker-compose"):
            return
        both = next((case for case in others if process(*case.theirs(), folder=case.root)), None)
        if both is not None:
            print(json.dumps(figures(both, arguments.runs)))


if __name__ == "__main__":
    main()
