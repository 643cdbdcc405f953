"""What the device remembers about the cloud's store and about itself: the store's id, and this installation's id."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from broker.files import write_durably


class StoreMemory:
    """Two small files in one folder; the inbox thread writes them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._store: str | None = None

    def install_id(self, make: Callable[[], str]) -> str:
        """Return this installation's random id, made by `make` the first time."""
        path = self._folder / "install"
        try:
            return path.read_text()
        except FileNotFoundError:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            made = make()
            write_durably(path, made.encode())
            return made

    @property
    def store(self) -> str | None:
        """Return the id of the cloud's store seen last."""
        if self._store is None:
            try:
                self._store = (self._folder / "cloud").read_text()
            except FileNotFoundError:
                return None
        return self._store

    def is_news(self, store: str) -> bool:
        """Remember `store`; return whether another one was known before: it came from a backup, or is a new one."""
        known = self.store
        if known == store:
            return False
        write_durably(self._folder / "cloud", store.encode())
        self._store = store
        return known is not None
