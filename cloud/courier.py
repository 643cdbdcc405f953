"""The courier: brings commands from the outbox to devices that are there, again until they are answered.

A command is signed for the device's present connection, under a number that is in the database before anything is
sent. A device knows commands by their ids, so sending one again, after a restart of ours too, never does it twice.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from broker import messages
from broker.backoff import Backoff
from broker.channels import COMMAND
from broker.clock import Clock
from broker.codec import seal
from broker.errors import Passing
from broker.messages import Conn
from broker.signing import Signer
from broker.transport import Publication, Transport
from cloud import command_view
from cloud.live import Feed
from cloud.store import commands
from cloud.store.commands import Command, Sending
from cloud.store.database import Database

log = logging.getLogger(__name__)

PAGE = 50  # sent at a time: what the session's outbox has room for beside the publisher's
AGAIN = Backoff(first_s=3.0, max_s=60.0)  # an answer may take a while: what is asked for has to be done first
RETRY_S = 0.5
UNREACHED = "the device was not reached in time"


class Courier:
    """One thread. It sleeps while no command is open."""

    def __init__(self, database: Database, *, signer: Signer, feed: Feed, clock: Clock) -> None:
        self._database = database
        self._signer = signer
        self._feed = feed
        self._clock = clock
        self._transport: Transport | None = None
        self._changed = threading.Condition()
        self._woken = True
        self._any_open = True

    def attach(self, transport: Transport) -> None:
        self._transport = transport

    # --- any thread

    def wake(self) -> None:
        """Tell that there may be something to send: a command was made, or the broker is there again."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def devices_changed(self) -> None:
        """Tell that devices came or answered: of interest only while a command is open."""
        if self._any_open:
            self.wake()

    # --- its own thread

    def run(self, stopping: threading.Event) -> None:
        """Work until `stopping`; wake it to end."""
        due_s: float | None = 0.0
        while not stopping.is_set():
            with self._changed:
                if not self._woken:
                    self._changed.wait(due_s)
                self._woken = False
            if stopping.is_set():
                return
            try:
                due_s = self.turn()
            except Passing as error:
                log.warning("courier: %s", error)
                due_s = RETRY_S

    def turn(self) -> float | None:
        """Do what is due; return the seconds until there is more to do, None when nothing is under way."""
        now_ms = self._clock.wall_ms()
        with self._database.read() as tx:
            self._any_open = commands.any_open(tx)
            overdue = commands.overdue(tx, now_ms=now_ms, limit=PAGE) if self._any_open else ()
        if not self._any_open:
            return None
        if overdue:
            self._expire(overdue, now_ms)
        sent = self._transport is not None and self._transport.connected and self._send(self._transport, now_ms)
        if sent or len(overdue) == PAGE:
            return 0.0
        with self._database.read() as tx:
            next_ms = commands.next_ms(tx)
        return None if next_ms is None else max(RETRY_S, (next_ms - now_ms) / 1000)

    def _expire(self, overdue: Sequence[Command], now_ms: int) -> None:
        with self._database.write() as tx:
            ended = [
                commands.finish(
                    tx,
                    one.device,
                    one.command,
                    state=commands.EXPIRED,
                    reason="unreached",
                    message=UNREACHED,
                    now_ms=now_ms,
                )
                for one in overdue
            ]
        self.show([one for one in ended if one is not None])

    def _send(self, transport: Transport, now_ms: int) -> bool:
        """Send what is due; return whether there was anything."""
        with self._database.read() as tx:
            if not commands.sendable(tx, now_ms=now_ms, limit=1):
                return False
        with self._database.write() as tx:
            due = commands.sendable(tx, now_ms=now_ms, limit=PAGE)
            sealed = []
            for command, conn, is_new in due:
                tries = 1 if is_new else command.tries + 1
                counter = commands.next_counter(tx, command.device, now_ms=now_ms)
                due_ms = now_ms + int(AGAIN.delay_s(tries - 1, 1.0) * 1000)
                commands.mark_sent(tx, Sending(command, conn, counter, due_ms), tries=tries, now_ms=now_ms)
                sealed.append((command, self._sealed(command, conn, counter, now_ms)))
        for command, envelope in sealed:
            # Whether it leaves or is lost does not matter here: unanswered, it is sent again.
            transport.publish(Publication(COMMAND.topic(command.ref), envelope, COMMAND.qos, COMMAND.retain))
        return bool(due)

    def _sealed(self, command: Command, conn: Conn, counter: int, now_ms: int) -> bytes:
        """Return the envelope. Past its time it only asks what became of an earlier one: nothing begins with no TTL."""
        message = messages.Command(
            id=command.command,
            counter=counter,
            conn=conn,
            ttl_s=command.ttl_s if now_ms < command.until_ms else 0,
            verb=command.verb,
            args=command.args,
        )
        return seal(COMMAND, command.ref, message, self._signer)

    def show(self, ended: Sequence[Command]) -> None:
        """Show commands to watchers as they are now."""
        for org in sorted({one.org for one in ended if self._feed.watched(one.org)}):
            with self._database.read() as tx:
                shown = command_view.views(tx, org, [one for one in ended if one.org == org])
            for view in shown:
                self._feed.publish(org, "command", view)
