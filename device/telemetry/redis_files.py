"""The files of one Redis child: put aside when it does not start with them, so that it starts at all."""

from __future__ import annotations

import logging
import re
import shutil
from pathlib import Path

log = logging.getLogger(__name__)

FAILED_STARTS = 3  # in a row, before anything is moved: a start may fail for what passes
KEPT = 2  # put aside at most: each can be as large as the store
LOG_TAIL_BYTES = 8192
_NUMBER = re.compile(r"\.broken-([0-9]{1,9})$")
# What Redis 7 says of files it cannot read (measured, each by damaging one); a torn tail it cuts off by itself.
_DAMAGE = re.compile(r"append only file|append-only dir|AOF|RDB")
_PASSING = re.compile(r"No space left|Permission denied|Read-only file system|Disk quota")


class RedisFiles:
    """Owns `folder`, where one Redis keeps its append-only files, and `folder.broken-N` beside it."""

    def __init__(self, folder: Path, *, log_path: Path) -> None:
        self._folder = folder
        self._log_path = log_path
        self._log_from = 0
        self._failed = -1  # the first start has none before it
        self.put_aside = ""  # the name of what was put aside last, in this run of the worker

    def before_start(self) -> None:
        self._failed += 1
        if self._failed >= FAILED_STARTS and self._is_damaged():
            self._put_aside()
            self._failed = 0
        self._log_from = self._log_path.stat().st_size if self._log_path.exists() else 0

    def on_up(self) -> None:
        self._failed = -1

    def _is_damaged(self) -> bool:
        if not self._folder.exists() or not self._log_path.exists():
            return False
        said = self._log_path.read_bytes()[self._log_from :][-LOG_TAIL_BYTES:].decode(errors="replace")
        complaints = [line for line in said.splitlines() if _DAMAGE.search(line)]
        return bool(complaints) and not any(_PASSING.search(line) for line in complaints)

    def _put_aside(self) -> None:
        aside = sorted(self._aside())
        number = aside[-1][0] + 1 if aside else 1
        for _, old in aside[: len(aside) - (KEPT - 1)] if len(aside) >= KEPT else ():
            shutil.rmtree(old) if old.is_dir() else old.unlink()
        target = self._folder.with_name(f"{self._folder.name}.broken-{number}")
        self._folder.rename(target)
        self.put_aside = target.name
        log.error("Redis does not start with %s: moved it to %s", self._folder.name, target.name)

    def _aside(self) -> list[tuple[int, Path]]:
        found = (
            (_NUMBER.search(path.name), path) for path in self._folder.parent.glob(f"{self._folder.name}.broken-*")
        )
        return [(int(match[1]), path) for match, path in found if match is not None]
