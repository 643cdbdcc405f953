"""Fuzzes the Compose loader: whatever is in the files, it loads them or refuses them in one line.

What loads is also printed, loaded again and compared, and judged for a device. Every execution has random numbers of
its own, made of the seed and its number, so one that fails is run again by `--seed S --only N`.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from broker.errors import Refused
from cloud.cli.yaml_text import yaml_text
from compose.load import load
from compose.project import Project
from compose.reference_form import reference_form
from compose.service_keys import SERVICE_KEYS
from compose.specification import CONFIG_KEYS, NETWORK_KEYS, SECRET_KEYS, VOLUME_KEYS
from compose.to_appspec import check
from compose.tree import Plain

CASES = Path(__file__).resolve().parents[1] / "compose_cases"
SEED_BYTES_MAX = 6000  # of a file that is damaged: large ones are slow, and small ones have the same keys
ENVIRONMENT = {"HOME": "/home/someone", "A": "a", "EMPTY": "", "TAG": "1.2"}
PIECES = (
    *(
        "!reset ",
        "!override ",
        "!!int ",
        "*a",
        "&a ",
        "<<: ",
        "${",
        "}",
        "$",
        "$$",
        "${A}",
        "${B:-x}",
        "${C:?no}",
        "null",
    ),
    *(
        "[]",
        "{}",
        "- ",
        ": ",
        '"',
        "'",
        "\t",
        "\x00",
        "0",
        "-1",
        "1e999",
        ".inf",
        ".nan",
        "9" * 20,
        "08",
        "0o7",
        "true",
    ),
    *(
        "no",
        "\u2028",
        "\u0085",
        "\ufeff",
        "|",
        ">",
        "%",
        "@",
        "---\n",
        "? ",
        "#",
        "1h",
        "64m",
        "80:80",
        "/x:/y:ro",
        "a=b",
    ),
    *("x-a: 1", "\n", "  ", "service:web", "extends: web", "include: [compose.yaml]", "every_1h"),
)
SECTIONS = {"networks": NETWORK_KEYS, "volumes": VOLUME_KEYS, "secrets": SECRET_KEYS, "configs": CONFIG_KEYS}
WORDS = (
    "",
    "a",
    "web",
    "db",
    "1s",
    "1m30s",
    "80",
    "80:80",
    "64m",
    "a=b",
    "./x",
    "/x:/y",
    "$A",
    "${B:-b}",
    "always",
    "none",
)


class Difference(Exception):
    """A project that was printed and loaded again is another one."""


@dataclass
class Fuzzer:
    """Runs executions in a folder of its own."""

    folder: Path
    seed: int
    counts: Counter[str] = field(default_factory=Counter)
    seeds: list[Path] = field(default_factory=list)

    def prepare(self) -> None:
        """Copy the valid cases, so that the files that a damaged one names are there."""
        for case in sorted(CASES.glob("[vp]*/*/case.json")):
            root = self.folder / case.parent.parent.name / case.parent.name / "app"
            shutil.copytree(case.parent / "src", root)
            files = [
                file for file in sorted(root.rglob("*")) if file.is_file() and file.stat().st_size < SEED_BYTES_MAX
            ]
            self.seeds += [file for file in files if file.suffix in (".yml", ".yaml") or file.name.endswith("env")]

    def run(self, number: int) -> None:
        """Run one execution; raise what should never come out of the loader."""
        random_source = random.Random(f"{self.seed}:{number}")  # noqa: S311
        if random_source.random() < 0.3:
            file = self.folder / "made" / "app" / "compose.yaml"
            file.parent.mkdir(parents=True, exist_ok=True)
            self.load([file], file, made(random_source).encode("utf-8", "surrogatepass"))
            return
        seed = random_source.choice(self.seeds)
        other = random_source.choice(self.seeds)
        text = damaged(seed.read_bytes().decode(errors="replace"), other.read_text(errors="replace"), random_source)
        compose_file = seed if seed.suffix in (".yml", ".yaml") else next(seed.parent.glob("*.y*ml"), seed)
        self.load([compose_file], seed, text.encode("utf-8", "surrogatepass"))

    def load(self, files: Sequence[Path], changed: Path, content: bytes) -> None:
        before = changed.read_bytes() if changed.exists() else b""
        changed.write_bytes(content)
        try:
            project = load(files, environment=ENVIRONMENT, profiles=("*",))
            self.counts["loaded"] += 1
            check_again(project, files[0].with_name("again.fuzz"))
            check(project)
            self.counts["runs on a device"] += 1
        except Refused as error:
            self.counts["refused"] += 1
            if not (str(error).isprintable() and error.reason):
                raise Difference(f"a message of more than one line: {error}") from error
        finally:
            changed.write_bytes(before)


def check_again(project: Project, file: Path) -> None:
    """Raise `Difference` when the printed project, loaded again, prints differently."""
    form = reference_form(project.plain())
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


def damaged(text: str, other: str, source: random.Random) -> str:
    """Return a text with a few changes."""
    for _ in range(source.choice((1, 1, 1, 1, 2, 3, 5))):
        text = source.choice(_DAMAGES)(text, other, source)
    return text


def _piece(text: str, other: str, source: random.Random) -> str:
    at = source.randint(0, len(text))
    return text[:at] + source.choice(PIECES) + text[at + source.choice((0, 0, 1, 3, 8)) :]


def _value(text: str, other: str, source: random.Random) -> str:
    """Replace what stands after a colon."""
    lines = text.split("\n")
    at = source.randrange(len(lines))
    key, colon, _ = lines[at].partition(":")
    lines[at] = f"{key}: {flow(any_value(source, 2))}" if colon else lines[at]
    return "\n".join(lines)


def _line_gone(text: str, other: str, source: random.Random) -> str:
    lines = text.split("\n")
    del lines[source.randrange(len(lines))]
    return "\n".join(lines)


def _line_doubled(text: str, other: str, source: random.Random) -> str:
    lines = text.split("\n")
    lines.insert(source.randint(0, len(lines)), source.choice(lines))
    return "\n".join(lines)


def _spliced(text: str, other: str, source: random.Random) -> str:
    lines, more = text.split("\n"), other.split("\n")
    at, first = source.randint(0, len(lines)), source.randrange(len(more))
    lines[at:at] = more[first : first + source.randint(1, 6)]
    return "\n".join(lines)


def _indented(text: str, other: str, source: random.Random) -> str:
    lines = text.split("\n")
    at = source.randrange(len(lines))
    lines[at] = source.choice((" " + lines[at], "  " + lines[at], lines[at][1:], lines[at].lstrip()))
    return "\n".join(lines)


def _cut(text: str, other: str, source: random.Random) -> str:
    return text[: source.randint(0, len(text))]


_DAMAGES: tuple[Callable[[str, str, random.Random], str], ...] = (
    *(_piece, _piece, _piece, _value, _value, _value, _line_gone, _line_doubled, _spliced, _indented, _cut),
)


def made(source: random.Random) -> str:
    """Return a file of known keys with any values."""
    services: dict[str, Plain] = {}
    for name in source.sample(("web", "db", "cache"), source.randint(1, 3)):
        keys = source.sample(sorted(SERVICE_KEYS), source.choice((0, 1, 1, 1, 2)))
        values: dict[str, Plain] = {key: any_value(source, 3) for key in keys}
        services[name] = {"image": "busybox", **values}
    document: dict[str, Plain] = {"services": services}
    for section, known in SECTIONS.items():
        if source.random() < 0.2:
            document[section] = {"r": {key: any_value(source, 2) for key in source.sample(sorted(known), 1)}}
    return flow(document)


def any_value(source: random.Random, depth: int) -> Plain:
    kind = source.random()
    if depth and kind < 0.25:
        return [any_value(source, depth - 1) for _ in range(source.randint(0, 3))]
    if depth and kind < 0.5:
        keys = source.sample(sorted(SERVICE_KEYS) + list(WORDS) + _INNER_KEYS, source.randint(0, 3))
        return {key: any_value(source, depth - 1) for key in keys}
    numbers: tuple[Plain, ...] = (None, True, False, 0, 1, -1, 80, 2**70, 0.5, 1e30)
    if kind < 0.6:
        return source.choice(numbers)
    if kind < 0.65:
        return "".join(chr(source.choice((source.randrange(128), source.randrange(0xD7FF)))) for _ in range(6))
    return source.choice(WORDS)


_INNER_KEYS = [
    *("source", "target", "type", "published", "protocol", "driver", "options", "name", "external", "aliases"),
    *(
        "ipv4_address",
        "path",
        "required",
        "condition",
        "test",
        "interval",
        "retries",
        "disable",
        "context",
        "dockerfile",
    ),
    *("args", "secrets", "limits", "resources", "memory", "count", "capabilities", "soft", "hard", "file"),
    *("service", "config", "subnet", "bind", "volume", "tmpfs", "size", "mode", "x-a"),
]


def flow(value: Plain) -> str:
    """Return a value in YAML's flow style, without relying on any code that is tested here."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"? {flow(key)} : {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(flow(item) for item in value) + "]"
    if isinstance(value, str):
        return (
            '"' + "".join(char if char.isalnum() and char.isascii() else f"\\U{ord(char):08x}" for char in value) + '"'
        )
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return repr(value)


def numbers(arguments: argparse.Namespace) -> Iterator[int]:
    """Yield the numbers of the executions that are wanted."""
    if arguments.only is not None:
        yield arguments.only
        return
    ends_at = time.monotonic() + arguments.seconds
    number = 0
    while number < arguments.executions and time.monotonic() < ends_at:
        yield number
        number += 1


def main() -> int:
    """Fuzz; return 1 when something failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.compose", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--executions", type=int, default=sys.maxsize)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="run this one execution")
    arguments = parser.parse_args()
    failures = 0
    done = 0
    with tempfile.TemporaryDirectory() as folder:
        fuzzer = Fuzzer(Path(folder), arguments.seed)
        fuzzer.prepare()
        started = time.monotonic()
        for number in numbers(arguments):
            done += 1
            try:
                fuzzer.run(number)
            except Exception:  # noqa: BLE001 - whatever comes out is a finding; the next execution goes on
                failures += 1
                print(f"execution {number} failed; again: --seed {arguments.seed} --only {number}", file=sys.stderr)
                traceback.print_exc()
        took = time.monotonic() - started
    counts = ", ".join(f"{name} {count}" for name, count in sorted(fuzzer.counts.items()))
    print(
        f"{done} executions in {took:.0f} s ({done / took:.0f}/s), seed {arguments.seed}: {counts}; {failures} failures"
    )
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
