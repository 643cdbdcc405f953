"""Commands: each obeyed at most once. This version knows no verb, and says so; the rules hold all the same."""

from __future__ import annotations

from pathlib import Path

from broker.errors import Refused
from broker.files import write_durably
from broker.messages import Command, Conn
from device.replies import Replies


class Commands:
    """Owns the counter of the last command taken; the inbox thread calls it."""

    def __init__(self, path: Path, replies: Replies) -> None:
        self._path = path
        self._replies = replies
        self._last: int | None = None

    def take(self, command: Command, *, conn: Conn | None) -> None:
        """Take a verified command; raise `Refused` when it is old or meant for another connection."""
        last = self._last if self._last is not None else self._read()
        if command.counter <= last:
            raise Refused("stale_command", f"command counter {command.counter} is not above {last}")
        if conn is None or command.conn != conn:
            raise Refused("expired_command", f"command {command.id} was sent to another connection")
        write_durably(self._path, str(command.counter).encode())
        self._last = command.counter
        self._replies.add(
            command.id,
            about=f"command:{command.counter}",
            ok=False,
            reason="not_supported",
            message=f"this worker does not know the verb {command.verb!r}",
        )

    def _read(self) -> int:
        try:
            return int(self._path.read_bytes())
        except (FileNotFoundError, ValueError):
            return 0  # the first one, or a broken file: a command of an earlier connection is refused all the same
