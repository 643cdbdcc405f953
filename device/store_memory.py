"""What the device remembers about the cloud's store and about itself: the store's id, and this installation's id."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from broker.files import StorageUnavailable, write_durably
from broker.messages import is_token

log = logging.getLogger(__name__)


class StoreMemory:
    """Two small files in one folder; the inbox thread writes them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._store: str | None = None

    def install_id(self, make: Callable[[], str]) -> str:
        """Return this installation's random id, made by `make` the first time."""
        path = self._folder / "install"
        known = _token_in(path)
        if known is not None:
            return known
        made = make()
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_durably(path, made.encode())
        except (StorageUnavailable, OSError) as error:
            log.error("this installation's id lasts only until the worker ends: %s", error)
        return made

    @property
    def store(self) -> str | None:
        """Return the id of the cloud's store seen last."""
        if self._store is None:
            self._store = _token_in(self._folder / "cloud")
        return self._store

    def is_news(self, store: str) -> bool:
        """Remember `store`; return whether another one was known before: it came from a backup, or is a new one."""
        known = self.store
        if known == store:
            return False
        write_durably(self._folder / "cloud", store.encode())
        self._store = store
        return known is not None


def _token_in(path: Path) -> str | None:
    """Return the token that a file holds; None where there is none, or only what a power cut has left of it."""
    try:
        text = path.read_bytes().decode(errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        log.error("%s cannot be read and counts as absent: %s", path, error)
        return None
    if is_token(text):
        return text
    log.error("%s is damaged and counts as absent: it holds %.40r", path, text)
    return None
