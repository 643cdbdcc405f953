"""What the API gives in pages: the newest of it, and then what comes after. Link drops are waited through."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from broker.backoff import Backoff
from broker.errors import Passing
from cloud.cli.answers import Stretch

T = TypeVar("T")
Cursor = str | int | None
Page = tuple[Sequence[T], Cursor]
BackPage = tuple[Sequence[T], Cursor, Cursor]

PAGE_SIZE = 1000
POLL_S = 1.0
RETRY = Backoff(first_s=1.0, max_s=30.0)


def newest(fetch: Callable[[Cursor, int], BackPage[T]], *, keep: int) -> tuple[list[T], Cursor]:
    """Return the last `keep` things there are, in their order, and the cursor after them.

    `fetch(before, count)` returns up to `count` things before a cursor, or of all, and the cursors before and after.
    """
    found, previous, following = fetch(None, min(keep, PAGE_SIZE))
    kept = list(found)
    while previous is not None and len(kept) < keep:
        found, previous, _ = fetch(previous, min(keep - len(kept), PAGE_SIZE))
        kept[:0] = found
    return kept, following


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


def stretches(
    ask: Callable[[str], Stretch], after: str, *, pause: Callable[[float], None], lost: Callable[[str], None]
) -> Iterator[Stretch]:
    """Yield stretches up to the end; link drops are waited through."""
    attempt = 0
    while True:
        try:
            found = ask(after)
        except Passing as error:
            if attempt == 0:
                lost(str(error))
            pause(RETRY.delay_s(attempt, random.random()))  # noqa: S311 - jitter, not a secret
            attempt += 1
            continue
        attempt, after = 0, found.next
        yield found
        if not found.more:
            return
