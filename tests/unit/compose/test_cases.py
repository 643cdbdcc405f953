"""Projects written elsewhere load as the reference loader loads them, and those it refuses are refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from broker.errors import Refused
from compose.forms.values import milliseconds
from compose.load import load
from compose.tree import plain
from compose.yaml_reader import read_documents

CASES = Path(__file__).resolve().parents[2] / "compose_cases"
HOME = "/home/someone"
DURATIONS = {"interval", "timeout", "start_period", "start_interval", "stop_grace_period", "delay", "monitor", "window"}
SIZES = {"memory", "mem_limit", "memswap_limit", "shm_size", "mem_reservation", "size"}
DEFAULTS: dict[str, object] = {"required": True, "create_host_path": True, "tty": False, "stdin_open": False}


def cases(kind: str) -> list[str]:
    return sorted(folder.name for folder in (CASES / kind).iterdir())


def loaded(case: Path, tmp_path: Path, profiles: list[str]) -> Any:
    """Return the plain form of a case, with its folder and home written as the expected files write them."""
    meta = json.loads((case / "case.json").read_text())
    root = tmp_path / "app"
    shutil.copytree(case / "src", root)
    files = [root / Path(file).relative_to("src") for file in meta["compose"]]
    project = load(files, environment={"HOME": HOME}, profiles=profiles)
    return json.loads(json.dumps(project.plain()).replace(str(root), "@ROOT@").replace(HOME, "@HOME@"))


def expected(file: Path) -> Any:
    text = file.read_text().replace(": @ROOT@", ": /ROOT").replace(": @HOME@", ": /HOME")
    return json.loads(
        json.dumps(plain(read_documents(text, file.name)[0])).replace("/ROOT", "@ROOT@").replace("/HOME", "@HOME@")
    )


def comparable(value: Any, path: tuple[str, ...] = ()) -> Any:
    """Return a value without what two true spellings may differ in: units, defaults, empty records, lists of pairs."""
    if isinstance(value, list):
        return [comparable(item, path) for item in value]
    if isinstance(value, dict):
        return dict(_comparable_entries(value, path))
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _comparable_entries(table: dict[str, Any], path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    for key, item in table.items():
        value = comparable(item, (*path, key))
        if "environment" not in path:
            if key in DURATIONS and isinstance(value, str):
                value = milliseconds(value)
            elif key in SIZES and isinstance(value, str):
                value = int(value)
            elif key == "mode" and isinstance(value, str) and value.startswith("0"):
                value = int(value, 8)
            elif key == "extra_hosts" and isinstance(value, list):
                value = {line.partition("=")[0]: [line.partition("=")[2]] for line in value}
        empty_record = value == {} and (key in ("bind", "volume", "tmpfs") or len(path) == 2)
        if not empty_record and not (key in DEFAULTS and value is DEFAULTS[key]) and (key, value) != ("restart", ""):
            yield key, value


@pytest.mark.parametrize("name", cases("valid"))
def test_a_project_loads_as_the_reference_loads_it(name: str, tmp_path: Path) -> None:
    case = CASES / "valid" / name
    assert comparable(loaded(case, tmp_path, [])) == comparable(expected(case / "expected.yml"))


@pytest.mark.parametrize(
    "name", [name for name in cases("valid") if (CASES / "valid" / name / "allprofiles.expected.yml").exists()]
)
def test_a_project_with_all_profiles_loads_as_the_reference_loads_it(name: str, tmp_path: Path) -> None:
    case = CASES / "valid" / name
    assert comparable(loaded(case, tmp_path, ["*"])) == comparable(expected(case / "allprofiles.expected.yml"))


@pytest.mark.parametrize("name", cases("invalid"))
def test_what_the_reference_refuses_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    with pytest.raises(Refused) as caught:
        loaded(CASES / "invalid" / name, tmp_path, [])
    assert str(caught.value).isprintable()
