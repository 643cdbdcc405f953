"""Replies: answers that are sent again until a sync lists them, the oldest given up when too many wait."""

from __future__ import annotations

import collections
import threading
from collections.abc import Iterable
from dataclasses import dataclass

from broker.backoff import Backoff
from broker.channels import REPLY
from broker.clock import Clock
from broker.messages import Reply
from device.uplink import Uplink

WAITING_MAX = 64  # more unanswered commands than an operator would send; beyond it the oldest answer is dropped
AGAIN = Backoff(first_s=3.0, max_s=30.0)


@dataclass
class _Waiting:
    about: str
    ok: bool
    reason: str
    message: str
    envelope: bytes | None
    tries: int = 0
    due: float = 0.0


class Replies:
    """Owns the replies that the cloud has not shown to hold."""

    def __init__(self, uplink: Uplink, *, clock: Clock) -> None:
        self._uplink = uplink
        self._clock = clock
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._waiting: collections.OrderedDict[str, _Waiting] = collections.OrderedDict()

    def add(
        self, reply_id: str, *, about: str, ok: bool, reason: str = "", message: str = "", envelope: bytes | None = None
    ) -> None:
        """Send a reply until it is held; one that already waits is left as it is."""
        with self._lock:
            if reply_id in self._waiting:
                return
            self._waiting[reply_id] = _Waiting(about, ok, reason, message, envelope)
            while len(self._waiting) > WAITING_MAX:
                self._waiting.popitem(last=False)
        self._wake.set()

    def held(self, ids: Iterable[str]) -> None:
        """Forget the replies that a sync lists."""
        with self._lock:
            for reply_id in ids:
                self._waiting.pop(reply_id, None)

    def link_up(self) -> None:
        with self._lock:
            for waiting in self._waiting.values():
                waiting.tries, waiting.due = 0, 0.0
        self._wake.set()

    def poke(self) -> None:
        self._wake.set()

    def run(self, stopping: threading.Event) -> None:
        """Send what is due until `stopping`; poke it to end."""
        while not stopping.is_set():
            now = self._clock.monotonic()
            with self._lock:
                pending = list(self._waiting.items())
            for reply_id, waiting in pending:
                if waiting.due <= now and self._send(reply_id, waiting):
                    waiting.tries += 1
                    waiting.due = now + AGAIN.delay_s(waiting.tries, 1.0)
            next_due = min((waiting.due for _, waiting in pending), default=None)
            # What is due and did not leave has found no room or no link: a moment later there may be some again.
            self._wake.wait(None if next_due is None else next_due - now if next_due > now else 1.0)
            self._wake.clear()

    def _send(self, reply_id: str, waiting: _Waiting) -> bool:
        return self._uplink.send(
            REPLY,
            lambda conn, n: Reply(
                conn=conn,
                n=n,
                id=reply_id,
                about=waiting.about,
                ok=waiting.ok,
                reason=waiting.reason,
                message=waiting.message,
                envelope=waiting.envelope,
            ),
        )
