"""Projects written elsewhere come out of `skerry app config` as the reference loader prints them, or are refused.

What is compared is what the command prints, as data: nothing is forgiven but the order of keys. A case that may differ
stands in `EXCEPTIONS`, with the section of the Compose Specification that supports it.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from compose.tree import Plain, plain
from compose.yaml_reader import read_documents
from tests.unit.cli.cloud import Shell

CASES = Path(__file__).resolve().parents[2] / "compose_cases"
HOME = "/home/someone"
EXCEPTIONS: dict[str, str] = {}  # none at present
WITHOUT_KEY = {"composego-empty.yaml"}  # a file of no lines
ACCEPTED = [*(CASES / "valid").iterdir(), *(CASES / "policy").iterdir()]
EXPECTED = sorted(file for case in ACCEPTED for file in case.glob("*expected.yml"))
REFUSED = sorted((CASES / "invalid").iterdir())


@dataclass(frozen=True)
class Case:
    """A case at the place its README asks for."""

    root: Path
    files: list[str]
    shell: Shell


def placed(case: Path, tmp_path: Path) -> Case:
    root = tmp_path / "app"
    shutil.copytree(case / "src", root)
    meta = json.loads((case / "case.json").read_text())
    files = [str(root / Path(file).relative_to("src")) for file in meta["compose"]]
    return Case(root, files, Shell(tmp_path / "none", variables={"HOME": HOME}))


def data(text: str) -> Plain:
    """Return the one document of a YAML text, with `@ROOT@` and `@HOME@` as texts, which YAML does not let begin so."""
    text = text.replace("@ROOT@", "/ROOT-of-the-case").replace("@HOME@", "/HOME-of-the-case")
    return plain(read_documents(text, "expected.yml")[0])


def printed(case: Case, output: str) -> Plain:
    return data(output.replace(str(case.root), "@ROOT@").replace(HOME, "@HOME@"))


def name(file: Path) -> str:
    return file.name if file.is_dir() else f"{file.parent.name}-{file.name}"


@pytest.mark.parametrize("file", EXPECTED, ids=name)
def test_config_prints_what_the_reference_prints(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = placed(file.parent, tmp_path)
    profiles = ["--all-profiles"] if file.name.startswith("allprofiles") else []
    assert case.shell.run("app", "config", *case.files, *profiles) == 0
    if file.parent.name not in EXCEPTIONS:
        assert printed(case, capsys.readouterr().out) == data(file.read_text())


@pytest.mark.parametrize("folder", REFUSED, ids=name)
def test_what_the_reference_refuses_is_refused_with_file_line_and_key(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = placed(folder, tmp_path)
    assert case.shell.run("app", "config", *case.files) == 1
    output = capsys.readouterr()
    assert output.out == ""
    line = output.err.splitlines()[-1]
    if folder.name in WITHOUT_KEY:
        assert re.match(r"skerry: [^ ]+\.ya?ml: ", line)
    else:
        assert re.match(
            r"skerry: [^ ]+\.ya?ml:[0-9]+: (include\[|(services\.|networks\.|volumes\.|secrets\.|x-f\[)|'[\w-]+' is)",
            line,
        )


def test_all_cases_are_here() -> None:
    assert (len(EXPECTED), len(REFUSED)) == (172, 56)
