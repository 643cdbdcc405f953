"""Fuzzes the Compose loader: whatever is in the files, it loads them or refuses them in one line.

What loads is also printed, loaded again and compared, and judged for a device. The fuzzer is guided: a text that the
loader answers in a new way (another message, another key printed with another kind of value) is kept, and damaged
further. The seed decides everything, so a run with the same code and seed is the same again. A project that led to
something else than an answer is kept in a folder, which `--again` loads once more.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from broker.errors import Refused
from cloud.cli.yaml_text import yaml_text
from compose.errors import ComposeError
from compose.load import load
from compose.project import Project
from compose.reference_form import reference_form
from compose.to_appspec import check
from compose.tree import Plain
from tests.fuzz.compose_inputs import damaged, made

CASES = Path(__file__).resolve().parents[1] / "compose_cases"
SEED_BYTES_MAX = 3000  # of a file that is damaged: large ones are slow, and small ones have the same keys
KEPT_MAX = 20_000  # texts that were answered in a new way
ENVIRONMENT = {"HOME": "/home/someone", "A": "a", "EMPTY": "", "TAG": "1.2"}
OVERRIDE = "override.fuzz.yaml"
MEMORY = Path("/dev/shm")  # a file system in memory, where there is one


class Difference(Exception):
    """A project that was printed and loaded again is another one, or a message is no line."""


@dataclass(frozen=True)
class Seed:
    """A file of a case that is damaged, and the files that are loaded then."""

    file: Path
    files: tuple[Path, ...]
    text: str


@dataclass
class Fuzzer:
    """Runs executions in a folder of its own."""

    folder: Path
    seed: int
    counts: Counter[str] = field(default_factory=Counter)
    seeds: list[Seed] = field(default_factory=list)
    kept: list[Seed] = field(default_factory=list)
    _seen: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._random = Random(self.seed)  # noqa: S311

    def prepare(self) -> None:
        """Copy the valid cases, so that the files that a damaged one names are there."""
        for case in sorted(CASES.glob("[vp]*/*/case.json")):
            root = self.folder / case.parent.parent.name / case.parent.name / "app"
            shutil.copytree(case.parent / "src", root)
            files = tuple(root / Path(name).relative_to("src") for name in json.loads(case.read_text())["compose"])
            if sum(file.stat().st_size for file in files) > 2 * SEED_BYTES_MAX:
                continue
            for file in sorted(root.rglob("*")):
                named = file.suffix in (".yml", ".yaml") or file.name.endswith("env")
                if named and file.is_file() and file.stat().st_size < SEED_BYTES_MAX:
                    self.seeds.append(Seed(file, files, file.read_bytes().decode(errors="replace")))
        own = self.folder / "made" / "app" / "compose.yaml"
        own.parent.mkdir(parents=True)
        self._own = Seed(own, (own,), "")

    def run(self) -> None:
        """Run one execution; raise what should never come out of the loader. Its files lie there until the next one."""
        random = self._random
        if random.random() < 0.25:
            seed, text = self._own, made(random)
        else:
            known = self.kept if self.kept and random.random() < 0.4 else self.seeds
            seed = random.choice(known)
            text = damaged(seed.text, random.choice(self.seeds).text, random)
        files = seed.files
        if random.random() < 0.2:
            files = (*files, files[0].with_name(OVERRIDE))
            files[-1].write_text(made(random))
        original = seed.file.read_bytes() if seed.file.exists() else b""
        seed.file.write_bytes(text.encode("utf-8", "surrogatepass"))
        self.failed_in = files
        features = list(self.answer(files))
        seed.file.write_bytes(original)
        is_new = not self._seen.issuperset(features)
        if is_new and len(text) < SEED_BYTES_MAX and len(self.kept) < KEPT_MAX:
            self._seen.update(features)
            self.kept.append(Seed(seed.file, seed.files, text))

    def answer(self, files: Sequence[Path]) -> Iterator[str]:
        """Load a project in every way; yield what is remarkable of the answer."""
        try:
            project = load(files, environment=ENVIRONMENT, profiles=("*",))
            self.counts["loaded"] += 1
            form = reference_form(project.plain())
            yield from _features(form, "")
            check_again(project, form, files[0].with_name("again.fuzz"))
            check(project)
            self.counts["runs on a device"] += 1
        except Refused as error:
            self.counts["refused"] += 1
            if not (str(error).isprintable() and error.reason):
                raise Difference(f"a message of more than one line: {error!r}") from error
            yield _message(error)


def _features(value: Plain, path: str) -> Iterator[str]:
    """Yield the path and kind of each value that is printed; names that a file gives are left out."""
    yield f"{path}:{type(value).__name__}:{bool(value)}"
    if isinstance(value, dict):
        free = path.count(".") == 1 or path.endswith((".environment", ".labels", ".args"))
        for key, item in value.items():
            yield from _features(item, f"{path}.{'*' if free else key}")
    elif isinstance(value, list):
        for item in value[:3]:
            yield from _features(item, f"{path}[]")


def _message(error: Refused) -> str:
    path = error.path if isinstance(error, ComposeError) else ""
    message = error.message if isinstance(error, ComposeError) else str(error)
    return re.sub(r"'[^']*'|\"[^\"]*\"|[0-9]+", "#", f"{re.split('[.]', path)[2:4]} {message}")


def check_again(project: Project, form: dict[str, Plain], file: Path) -> None:
    """Raise `Difference` when the printed project, loaded again, prints differently."""
    file.write_text(yaml_text(escaped_table(form)), encoding="utf-8", errors="surrogatepass")
    try:
        again = reference_form(load([file], environment={}, profiles=("*",)).plain())
    except Refused as error:
        raise Difference(f"printed, it is refused: {error}") from error
    finally:
        file.unlink()
    first, second = (json.dumps(one, sort_keys=True) for one in (form, again))
    if first != second:
        raise Difference(f"printed and loaded again it differs:\n{first}\n{second}")


def escaped_table(table: dict[str, Plain]) -> dict[str, Plain]:
    return {key: escaped(value) for key, value in table.items()}


def escaped(value: Plain) -> Plain:
    """Return a value with its dollar signs doubled, so that they are no variables."""
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, list):
        return [escaped(item) for item in value]
    return escaped_table(value) if isinstance(value, dict) else value


def fuzz(arguments: argparse.Namespace, folder: Path) -> int:
    fuzzer = Fuzzer(folder, arguments.seed)
    fuzzer.prepare()
    started = time.monotonic()
    done = failures = 0
    while done < arguments.executions and time.monotonic() - started < arguments.seconds:
        try:
            fuzzer.run()
        except Exception:  # noqa: BLE001 - whatever comes out is a finding; the next execution goes on
            failures += 1
            where = arguments.findings / f"{arguments.seed}-{done}"
            shutil.copytree(fuzzer.failed_in[0].parent, where, dirs_exist_ok=True)
            names = " ".join(file.name for file in fuzzer.failed_in)
            print(f"execution {done} failed; again: --again {where} {names}", file=sys.stderr)
            traceback.print_exc()
        done += 1
        if done % 50_000 == 0:
            print(_summary(fuzzer, done, failures, time.monotonic() - started), file=sys.stderr, flush=True)
    print(_summary(fuzzer, done, failures, time.monotonic() - started))
    return 1 if failures else 0


def _summary(fuzzer: Fuzzer, done: int, failures: int, took_s: float) -> str:
    counts = ", ".join(f"{name} {count}" for name, count in sorted(fuzzer.counts.items()))
    return (
        f"{done} executions in {took_s:.0f} s ({done / took_s:.0f}/s), seed {fuzzer.seed}: {counts}, "
        f"answers of a new kind {len(fuzzer.kept)}; {failures} failures"
    )


def main() -> int:
    """Fuzz; return 1 when something failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.compose", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--executions", type=int, default=sys.maxsize)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--findings", type=Path, default=Path(".skerry/fuzz"), help="where failed projects are kept")
    parser.add_argument("--again", nargs="+", type=Path, metavar="FOLDER FILE", help="load what has failed once more")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        if arguments.again:
            root = shutil.copytree(arguments.again[0], Path(folder) / "app")
            print(*Fuzzer(root, 0).answer([root / name for name in arguments.again[1:]]), sep="\n")
            return 0
        return fuzz(arguments, Path(folder))


if __name__ == "__main__":
    sys.exit(main())
