"""Hostile files are refused within a second and 200 MB, each in a process of its own, where both are measured."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

SECONDS_MAX = 1.0  # of processor time, from the call to the refusal: other work on the machine does not count
BYTES_MAX = 200 * 1024 * 1024

# The most that the process ever held is read from where exec resets it: ru_maxrss is inherited from the parent.
CODE = """
import json, pathlib, re, sys, time
from broker.errors import Refused
from compose.load import load
started = time.process_time()
try:
    load([pathlib.Path(sys.argv[1])], environment={})
    message = "loaded"
except Refused as error:
    message = str(error)
took = time.process_time() - started
held_kib = int(re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1])
print(json.dumps([message, took, held_kib * 1024]))
"""


def bomb() -> str:
    levels = "\n".join(f"x-{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 12))
    return f"x-0: &l0 [a, a]\n{levels}\nservices: {{web: {{image: a}}}}\n"


def merge_bomb() -> str:
    levels = "\n".join(
        f"x-{n}: &l{n} {{<<: [{', '.join([f'*l{n - 1}'] * 20)}], k{n}: *l{n - 1}}}" for n in range(1, 30)
    )
    return f"x-0: &l0 {{a: b}}\n{levels}\nservices: {{web: {{image: a}}}}\n"


HOSTILE: dict[str, tuple[dict[str, str], str]] = {
    "a bomb of aliases": ({"compose.yaml": bomb()}, "once aliases are expanded"),
    "a bomb of merges": ({"compose.yaml": merge_bomb()}, "once aliases are expanded"),
    "an alias to itself": ({"compose.yaml": "services: &a {web: {image: a, x-y: *a}}\n"}, "contains itself"),
    "ten megabytes": ({"compose.yaml": "services: {web: {image: a}}\n# " + "x" * 10_000_000}, "is larger than"),
    "ten megabytes of environment": (
        {"compose.yaml": "services: {web: {image: a, env_file: e}}\n", "e": "A=b\n" * 2_500_000},
        "is larger than",
    ),
    "thousands of documents": ({"compose.yaml": "--- {}\n" * 140_000}, "documents in the file"),
    "thousands of tag lines": (
        {"compose.yaml": "".join(f"%TAG !a{n}! x\n" for n in range(60_000)) + "--- {}\n"},
        "%TAG",
    ),
    "more values than anyone writes": (
        {"compose.yaml": "".join(f"a{n}: 1\n" for n in range(80_000))},
        "more than 100000 values",
    ),
    "a thousand levels": ({"compose.yaml": "services: " + "[" * 1000 + "]" * 1000}, "nested deeper"),
    "services that extend in a circle": (
        {"compose.yaml": "services: {a: {extends: b}, b: {extends: c}, c: {extends: a}}\n"},
        "extends goes in a circle",
    ),
    "files that extend in a circle": (
        {
            "compose.yaml": "services: {a: {extends: {file: b.yaml, service: a}}}\n",
            "b.yaml": "services: {a: {extends: {file: compose.yaml, service: a}}}\n",
        },
        "extends goes in a circle",
    ),
    "files that include in a circle": (
        {
            "compose.yaml": "include: [b.yaml]\nservices: {a: {image: a}}\n",
            "b.yaml": "include: [compose.yaml]\nservices: {b: {image: b}}\n",
        },
        "include goes in a circle",
    ),
    "services that extend a large one": (
        {
            "compose.yaml": "services:\n  a: {image: a, environment: ["
            + ", ".join(f"A{n}" for n in range(20_000))
            + "]}\n"
            + "".join(f"  b{n}: {{extends: a}}\n" for n in range(10_000))
        },
        "once extends are carried out",
    ),
    "services that extend each other in a long row": (
        {
            "compose.yaml": "services:\n  a0: {image: a, environment: ["
            + ", ".join(f"A{n}" for n in range(50_000))
            + "]}\n"
            + "".join(f"  a{n + 1}: {{extends: a{n}}}\n" for n in range(49))
        },
        "once extends are carried out",
    ),
    "ranges of ports": (
        {"compose.yaml": "services:\n" + "".join(f"  a{n}: {{image: a, ports: ['1-2048']}}\n" for n in range(10_000))},
        "more than 65535 ports",
    ),
    "a long variable in many values": (
        {
            "compose.yaml": "services: {web: {image: a, labels: [" + ", ".join(["$A"] * 50_000) + "]}}\n",
            ".env": "A=" + "x" * 1_000_000,
        },
        "variables bring more than",
    ),
    "a long variable in many variables": (
        {
            "compose.yaml": "services: {web: {image: a}}\n",
            ".env": "A=" + "x" * 500_000 + "\n" + "".join(f"B{n}=$A\n" for n in range(10_000)),
        },
        "the values are longer than",
    ),
    "a large environment file for many services": (
        {
            "compose.yaml": "services:\n" + "".join(f"  a{n}: {{image: a, env_file: e}}\n" for n in range(100)),
            "e": "".join(f"A{n}=b\n" for n in range(30_000)),
        },
        "variables from files",
    ),
    "a file that is included again and again": (
        {
            "compose.yaml": "include: [" + ", ".join(["b.yaml"] * 90) + "]\n",
            "b.yaml": "services: {web: {image: a}}\n#" + "x" * 1_000_000,
        },
        "together are larger than",
    ),
    "variables in variables": (
        {"compose.yaml": "services: {web: {image: '" + "${A:-" * 5000 + "}" * 5000 + "'}}\n"},
        "nested deeper",
    ),
    "values that grow": (
        {
            "compose.yaml": "services: {web: {image: a}}\n",
            ".env": "A0=" + "x" * 100 + "\n" + "".join(f"A{n}=" + f"${{A{n - 1}}}" * 10 + "\n" for n in range(1, 12)),
        },
        "longer than",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_project_is_refused_at_once(name: str, tmp_path: Path) -> None:
    files, expected = HOSTILE[name]
    for file, text in files.items():
        (tmp_path / file).write_text(text)
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(tmp_path / "compose.yaml")],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (BYTES_MAX, BYTES_MAX)),
    )
    message, took_s, size_bytes = json.loads(done.stdout)
    assert expected in message
    assert took_s < SECONDS_MAX
    assert size_bytes < BYTES_MAX
