"""The ingest worker: takes what waits, stores it in one transaction, and only then answers.

One thread writes for all shards, because the database has one writer: a commit carries whatever has gathered meanwhile.
"""

from __future__ import annotations

import collections
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from broker.channels import BATCH, Channel
from broker.clock import Clock
from broker.errors import Passing, Refused
from broker.ids import DeviceRef
from broker.messages import Sync
from cloud.ingest.answer import sealed, syncs_for
from cloud.ingest.inbox import Inbox, Received
from cloud.ingest.turn import Seen, Turn
from cloud.ingest.verify import Verifiers
from cloud.store.database import Database

log = logging.getLogger(__name__)

TURN_MAX = 256  # messages a commit carries at most: bounds how long an acknowledgement waits for its commit
AGAIN_S = 0.05  # syncs that found their session's outbox full
TRIES_MAX = 20  # after a second without a place the device's own next message is the better occasion
PAUSE_S = 0.5  # after the database could not be used


class Handler(Protocol):
    """Handles the messages of one channel. It may raise `Refused` only before it has written anything."""

    def handle(self, turn: Turn, device: DeviceRef, message: Any) -> None:
        """Write through the turn's transaction; safe to repeat."""


@dataclass(frozen=True)
class Outlets:
    """Where a turn's results go once it is committed."""

    answer: Callable[[DeviceRef, bytes], bool]
    nudge: Callable[[DeviceRef], None]
    issued: Callable[[], None]
    changed: Callable[[Sequence[DeviceRef]], None]
    seen: Callable[[Seen], None]
    revoked: Callable[[DeviceRef], None] = lambda device: None


class Worker:
    """Owns the handlers. `refused` counts by reason what was not believed."""

    def __init__(
        self,
        *,
        database: Database,
        inbox: Inbox,
        verifiers: Verifiers,
        handlers: Mapping[Channel, Handler],
        outlets: Outlets,
        store: str,
        clock: Clock,
    ) -> None:
        self._database = database
        self._inbox = inbox
        self._verifiers = verifiers
        self._handlers = handlers
        self._outlets = outlets
        self._store = store
        self._clock = clock
        self._unsent: dict[DeviceRef, tuple[bytes, int]] = {}
        self.refused: collections.Counter[str] = collections.Counter()
        self._reported: set[tuple[DeviceRef, str]] = set()

    def run(self, stopping: threading.Event) -> None:
        """Work until `stopping`; wake the inbox to end."""
        while not stopping.is_set():
            received = self._inbox.take(TURN_MAX, AGAIN_S if self._unsent else None)
            try:
                self.work(received)
            except Passing as error:
                log.error("ingest: %s; %d messages wait for their devices to send them again", error, len(received))
                stopping.wait(PAUSE_S)

    def work(self, received: Sequence[Received]) -> None:
        """Handle messages in one transaction, then answer. A message that meets a bug costs only itself.

        Raises `Passing` when the database cannot be used: then nothing is stored and nothing answered.
        """
        self._send({})
        opened = [item for item in map(self._open, received) if item is not None]
        if not opened:
            return
        try:
            self._turn(opened)
        except Passing:
            raise
        except Exception:  # an edge: one message of many has met a bug; find out which, and keep the others
            log.exception("ingest: a turn of %d messages failed", len(opened))
            self._one_by_one(opened)

    def _open(self, received: Received) -> tuple[Received, Any] | None:
        try:
            return received, self._verifiers.open(received)
        except Refused as error:
            self._count(received, error)
        except Exception:  # an edge: whatever bytes can do to us, the other messages must not suffer
            log.exception("ingest: cannot open a message on %s of %s", received.channel.name, received.device)
        return None

    def _one_by_one(self, opened: Sequence[tuple[Received, Any]]) -> None:
        for item in opened:
            try:
                self._turn([item])
            except Passing:
                raise
            except Exception:  # an edge: this is the message; it is dropped, and its device will send it again
                log.exception("ingest: dropped a message on %s of %s", item[0].channel.name, item[0].device)

    def _turn(self, opened: Sequence[tuple[Received, Any]]) -> None:
        with self._database.write() as tx:
            turn = Turn(tx, self._clock.wall_ms())
            turn.intake.look_up({place for received, message in opened if (place := _place(received, message))})
            for received, message in opened:
                try:
                    self._handlers[received.channel].handle(turn, received.device, message)
                except Refused as error:
                    self._count(received, error)
            turn.intake.flush()
            syncs = syncs_for(turn, store=self._store)
        self._send(syncs)
        for device in turn.revoked:
            self._outlets.revoked(device)
        if turn.issued:
            self._outlets.issued()
        for device in turn.nudged:
            self._outlets.nudge(device)
        for seen in turn.seen:
            self._outlets.seen(seen)
        self._outlets.changed([device for device, touched in turn.touched.items() if touched.changed])

    def _send(self, syncs: Mapping[DeviceRef, Sync]) -> None:
        """Send syncs, those first that found no place before; a newer one takes the place of an older one."""
        waiting = self._unsent | {
            device: (sealed(device, sync, self._verifiers.key(device)), 0) for device, sync in syncs.items()
        }
        self._unsent = {}
        for device, (envelope, tries) in waiting.items():
            if not self._outlets.answer(device, envelope) and tries < TRIES_MAX:
                self._unsent[device] = (envelope, tries + 1)

    def _count(self, received: Received, error: Refused) -> None:
        self.refused[error.reason] += 1
        once = (received.device, error.reason)
        if once in self._reported:
            return
        if len(self._reported) < TURN_MAX * 256:
            self._reported.add(once)
        log.warning("refused %s on %s of %s: %s", error.reason, received.channel.name, received.device, error)


def _place(received: Received, message: Any) -> tuple[str, str, int] | None:
    """Return where a batch belongs; None for other messages."""
    return (received.device.device, message.stream, message.epoch) if received.channel is BATCH else None
