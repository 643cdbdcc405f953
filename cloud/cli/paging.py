"""What the API gives in pages, oldest first: the newest of it, and what comes after. Link drops are waited through."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from broker.backoff import Backoff
from broker.errors import Passing

T = TypeVar("T")
Cursor = str | int | None
Page = tuple[Sequence[T], Cursor]

PAGE_SIZE = 1000
POLL_S = 1.0
RETRY = Backoff(first_s=1.0, max_s=30.0)


def newest(fetch: Callable[[Cursor], Page[T]], *, keep: int) -> tuple[list[T], Cursor]:
    """Return the last `keep` things there are, in their order, and the cursor after them."""
    kept: deque[T] = deque(maxlen=keep)
    cursor: Cursor = None
    while True:
        found, following = fetch(cursor)
        kept.extend(found)
        if following is None or following == cursor or len(found) < PAGE_SIZE:
            return list(kept), following if following is not None else cursor
        cursor = following


def arriving(
    fetch: Callable[[Cursor], Page[T]], cursor: Cursor, *, pause: Callable[[float], None], lost: Callable[[str], None]
) -> Iterator[T]:
    """Yield for ever what comes after the cursor; `lost` hears once each time that the cloud stops answering."""
    attempt = 0
    while True:
        try:
            found, following = fetch(cursor)
        except Passing as error:
            if attempt == 0:
                lost(str(error))
            pause(RETRY.delay_s(attempt, random.random()))  # noqa: S311 - jitter, not a secret
            attempt += 1
            continue
        attempt = 0
        yield from found
        cursor = following if following is not None else cursor
        if len(found) < PAGE_SIZE:
            pause(POLL_S)
