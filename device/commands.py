"""Commands: each obeyed at most once, whatever arrives again, and answered as often as it is asked for.

A command is on the disk before it is begun. What a worker had begun when it ended is never done again, and answered as
interrupted: whether it was done is then for a person to see.
"""

from __future__ import annotations

import collections
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from broker import verbs
from broker.errors import Refused
from broker.files import StorageUnavailable
from broker.messages import Command, Conn
from device.checked_file import CheckedFile
from device.reconcile.requests import LATE, Answer, Prune, Request, Restart, Resync, Start, Stop, Unlock
from device.replies import Replies

log = logging.getLogger(__name__)

KEPT = 64  # ids of commands with their outcome: more than one device has under way at any time
MESSAGE_CHARS = 500  # of an outcome
INTERRUPTED = "the worker ended before it could tell whether this was done; it is not done again"


class Ask(Protocol):
    """How requests reach reconcile."""

    def __call__(self, request: Request, answer: Answer, *, is_late: Callable[[], bool]) -> None:
        """Hand a request over; it is answered once, and not begun when `is_late()` by then."""


@dataclass(frozen=True)
class Outcome:
    """What became of a command: `reason` is for machines, empty when it was done."""

    ok: bool
    reason: str = ""
    message: str = ""


class Commands:
    """Owned by the inbox thread; only the answers of requests come from others."""

    def __init__(
        self,
        file: CheckedFile,
        replies: Replies,
        *,
        ask: Ask,
        wake: Callable[[], None],
        uptime_ms: Callable[[], int],
    ) -> None:
        self._file = file
        self._replies = replies
        self._ask = ask
        self._wake = wake  # has the inbox thread call `settle`
        self._uptime_ms = uptime_ms
        self._counter = 0
        self._taken: dict[str, Outcome | None] = {}  # None: under way
        self._loaded = False
        self._answered: collections.deque[tuple[str, Outcome]] = collections.deque()

    def take(self, command: Command, *, conn: Conn | None, at_ms: int) -> None:
        """Take a verified command that arrived at `at_ms` of the uptime; raise `Refused` (`stale_command`).

        Raises `StorageUnavailable` when it cannot be remembered: then it is not begun.
        """
        self._load()
        if command.id in self._taken:
            self._tell(command.id)
            return
        if conn is None or command.conn != conn:
            log.info("command %s was sent to another connection; the cloud sends it again", command.id)
            return
        if command.counter <= self._counter:
            raise Refused("stale_command", f"command counter {command.counter} is not above {self._counter}")
        try:
            request = _request(command)
        except Refused as error:
            self._remember(command, Outcome(False, error.reason, str(error)))
            self._tell(command.id)
            return
        if self._is_late(command, at_ms):
            self._remember(command, Outcome(False, "expired", LATE))
            self._tell(command.id)
            return
        self._remember(command, None)
        log.info("command %s: %s", command.id, request)
        self._ask(
            request,
            lambda ok, message: self._answer(command.id, ok, message),
            is_late=lambda: self._is_late(command, at_ms),
        )

    def _is_late(self, command: Command, at_ms: int) -> bool:
        return self._uptime_ms() - at_ms >= command.ttl_s * 1000

    def settle(self) -> None:
        """Remember and tell what has been answered since."""
        while self._answered:
            command_id, outcome = self._answered.popleft()
            log.info("command %s: %s %s", command_id, "done" if outcome.ok else outcome.reason, outcome.message)
            self._taken[command_id] = outcome
            try:
                self._write()
            except StorageUnavailable as error:
                log.error("what became of command %s lasts only until the worker ends: %s", command_id, error)
            self._tell(command_id)

    def _answer(self, command_id: str, ok: bool, message: str) -> None:
        """On any thread."""
        reason = "" if ok else "expired" if message == LATE else "failed"
        self._answered.append((command_id, Outcome(ok, reason, message[:MESSAGE_CHARS])))
        self._wake()

    def _tell(self, command_id: str) -> None:
        outcome = self._taken[command_id]
        if outcome is not None:
            self._replies.add(
                command_id, about="command", ok=outcome.ok, reason=outcome.reason, message=outcome.message
            )

    def _remember(self, command: Command, outcome: Outcome | None) -> None:
        before = self._counter, dict(self._taken)
        self._counter = command.counter
        self._taken[command.id] = outcome
        while len(self._taken) > KEPT:
            del self._taken[next(iter(self._taken))]
        try:
            self._write()
        except StorageUnavailable:
            self._counter, self._taken = before
            raise

    def _write(self) -> None:
        taken = {name: None if outcome is None else vars(outcome) for name, outcome in self._taken.items()}
        self._file.write(json.dumps({"counter": self._counter, "taken": taken}).encode())

    def _load(self) -> None:
        """Read what earlier workers left. Without it nothing is done twice either: commands name their connection."""
        if self._loaded:
            return
        self._loaded = True
        data = self._file.read()
        if data is None:
            return
        try:
            kept: dict[str, Any] = json.loads(data)
            self._counter, self._taken = int(kept["counter"]), {}
            for name, outcome in kept["taken"].items():
                self._taken[name] = Outcome(**outcome) if outcome else Outcome(False, "interrupted", INTERRUPTED)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            log.error("what was remembered of commands cannot be read: %s: %s", type(error).__name__, error)


def _request(command: Command) -> Request:
    """Return what a command asks of reconcile; raise `Refused` (`not_supported`, `bad_arguments`)."""
    args = verbs.arguments(command.verb, command.args)
    match command.verb, args:
        case verbs.APP_RESTART, verbs.ServiceArguments():
            return Restart(args.instance, args.service)
        case verbs.APP_STOP, verbs.ServiceArguments():
            return Stop(args.instance, args.service)
        case verbs.APP_START, verbs.ServiceArguments():
            return Start(args.instance, args.service)
        case verbs.APP_UNLOCK, verbs.AppArguments():
            return Unlock(args.instance)
        case verbs.DEVICE_RESYNC, _:
            return Resync()
        case verbs.DEVICE_PRUNE, _:
            return Prune()
    raise AssertionError(f"the verb {command.verb} has arguments and no request")
