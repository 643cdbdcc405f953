"""What people ask of reconcile besides the desired state: restart, stop, start, unlock, look again, tidy up.

Requests come from any thread into one bounded queue; the reconcile thread takes them and answers each exactly once.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from dataclasses import dataclass

WAITING_MAX = 32  # more than an operator would send at once; beyond it the newest is refused, so that nobody waits


@dataclass(frozen=True)
class Restart:
    """Stop and start what runs of an app, or of one of its services."""

    instance: str
    service: str | None = None


@dataclass(frozen=True)
class Stop:
    """Stop an app or one of its services, over reboots too, until a start is asked for or another release comes."""

    instance: str
    service: str | None = None


@dataclass(frozen=True)
class Start:
    """Let an app or one of its services run again that was stopped by request."""

    instance: str
    service: str | None = None


@dataclass(frozen=True)
class Unlock:
    """Go on with an update although the app's lock is held."""

    instance: str


@dataclass(frozen=True)
class Resync:
    """Look at everything again and try at once what is backing off."""


@dataclass(frozen=True)
class Prune:
    """Remove images of ours that neither a current nor a previous release uses. Never volumes."""


Request = Restart | Stop | Start | Unlock | Resync | Prune
Answer = Callable[[bool, str], None]  # whether it was done, and a sentence; called on the reconcile thread
LATE = "its time ran out before it could be begun"


def _never() -> bool:
    return False


class Requests:
    """The queue between those who ask and the reconcile thread."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._queue: queue.Queue[tuple[Request, Answer, Callable[[], bool]]] = queue.Queue(WAITING_MAX)

    def ask(self, request: Request, answer: Answer, *, is_late: Callable[[], bool] = _never) -> None:
        """Hand a request over; one too many is answered at once, on the caller's thread.

        One that `is_late` when its turn comes is answered with `LATE` and not begun.
        """
        try:
            self._queue.put_nowait((request, answer, is_late))
        except queue.Full:
            answer(False, f"{WAITING_MAX} requests are waiting; ask again later")
            return
        self._wake()

    def taken(self) -> Iterator[tuple[Request, Answer]]:
        """Yield what waits and is not late, oldest first, and forget it."""
        while True:
            try:
                request, answer, is_late = self._queue.get_nowait()
            except queue.Empty:
                return
            if is_late():
                answer(False, LATE)
            else:
                yield request, answer
