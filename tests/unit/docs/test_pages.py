"""What the pages say of the code is true where a test can tell."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.chaos import promises
from tests.unit.docs.pages import ARCHITECTURE, DOCS, ROOT, named_files, package_files

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", ROOT / "bench/RESULTS.md"]
PAGES += sorted(DOCS.rglob("*.md"))
HOW = "python -m tests.unit.docs.pages writes the list anew"


def test_every_file_that_the_architecture_names_exists() -> None:
    missing = [name for name in named_files(ARCHITECTURE.read_text()) if not (ROOT / name).exists()]
    assert not missing, HOW


def test_the_architecture_names_every_file() -> None:
    assert not set(package_files()) - set(named_files(ARCHITECTURE.read_text())), HOW


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    broken = [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if not _leads_somewhere(page, target)]
    assert not broken


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_a_page_names_exist(page: Path) -> None:
    assert not [name for name in named_files(page.read_text()) if not (ROOT / name).exists()]


def test_decisions_are_numbered_without_holes_and_have_their_three_parts() -> None:
    decisions = sorted((DOCS / "adr").glob("*.md"))
    assert [int(path.name[:4]) for path in decisions] == list(range(1, len(decisions) + 1))
    for path in decisions:
        headings = re.findall(r"^## (.+)$", path.read_text(), re.MULTILINE)
        assert headings == ["Context", "Decision", "Consequences"], path.name


def _leads_somewhere(page: Path, target: str) -> bool:
    if target.startswith("https://"):
        return True
    file, _, heading = target.partition("#")
    place = page.parent / file if file else page
    return place.exists() and (not heading or heading in _anchors(place))


def _anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_page_lists_the_promises_that_are_broken_on_purpose() -> None:
    assert promises.table() in promises.PAGE.read_text(), "tests/chaos/promises.py has another table"


@pytest.mark.parametrize("promise", promises.PROMISES, ids=lambda each: each.promise)
def test_what_keeps_a_promise_is_where_it_is_broken(promise: promises.Promise) -> None:
    assert (ROOT / promise.file).read_text().count(promise.kept) == 1
