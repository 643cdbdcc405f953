"""The count of connections, kept on disk: with the boot id it names each connection, and never comes twice."""

from __future__ import annotations

from pathlib import Path

from broker.files import write_durably
from broker.messages import Conn


class Connections:
    """Hands out connection names; the session's thread owns it."""

    def __init__(self, path: Path, *, boot: str) -> None:
        self._path = path
        self._boot = boot
        self._count: int | None = None

    def next(self) -> Conn:
        """Return a new connection's name, durable before it is used."""
        if self._count is None:
            self._count = self._read()
        self._count += 1
        write_durably(self._path, str(self._count).encode())
        return Conn(boot=self._boot, count=self._count)

    def _read(self) -> int:
        try:
            return int(self._path.read_bytes())
        except (FileNotFoundError, ValueError):
            return 0  # the first one, or a broken file: the boot id still tells this run from the others
