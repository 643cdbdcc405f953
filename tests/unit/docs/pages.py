"""Where the pages are, and the list of files in docs/architecture.md: `python -m tests.unit.docs.pages` writes it anew.

Each line is the first line of the file's docstring, so what a file owns is said in one place.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
DOCS = ROOT / "docs"
ARCHITECTURE = DOCS / "architecture.md"
PACKAGES = ("broker", "compose", "device", "cloud")
_LIST = re.compile(r"(<!-- files -->\n).*?(<!-- end -->)", re.DOTALL)


def package_files() -> list[str]:
    """Return every module of ours but packages' own files and generated migrations, by folder."""
    found = [path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    ours = [path for path in found if path.name != "__init__.py" and path.parent.name != "versions"]
    return [
        str(path) for path in sorted(ours, key=lambda path: (PACKAGES.index(path.parts[0]), path.parent, path.name))
    ]


def named_files(text: str) -> list[str]:
    """Return the files of ours that a page names."""
    return re.findall(rf"\b(?:{'|'.join(PACKAGES)})/[a-z0-9_/]+\.py\b", text)


def with_files(text: str) -> str:
    """Return the page with its list of files made anew."""
    return _LIST.sub(lambda found: f"{found[1]}{_file_list()}\n{found[2]}", text)


def _file_list() -> str:
    lines: list[str] = []
    folder = ""
    for name in package_files():
        path = ROOT / name
        if path.parent.relative_to(ROOT).as_posix() != folder:
            folder = path.parent.relative_to(ROOT).as_posix()
            lines += ["", f"### {folder}/", ""]
        about = (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]
        lines.append(f"- `{name}`: {about}")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    ARCHITECTURE.write_text(with_files(ARCHITECTURE.read_text()))
