"""Registry tokens: asked for when needed, used while they live, asked for again when one is not believed."""

from __future__ import annotations

import threading
from collections.abc import Callable

LIFE_S = 45.0  # the cloud gives them for a minute
KNOWN_MAX = 256


class Tokens:
    """`ask(repository)` gets one from the cloud; any thread may want one."""

    def __init__(self, ask: Callable[[str], str], *, monotonic: Callable[[], float]) -> None:
        self._ask = ask
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._known: dict[str, tuple[str, float]] = {}

    def get(self, repository: str, fresh: bool) -> str:
        """Return a token for a repository; with `fresh` a new one. Raises what asking raises."""
        now = self._monotonic()
        with self._lock:
            token, until = self._known.get(repository, ("", 0.0))
        if token and now < until and not fresh:
            return token
        token = self._ask(repository)
        with self._lock:
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            self._known[repository] = (token, now + LIFE_S)
        return token
