"""Server-sent events: the lines of the stream to events, and a stream that goes on over dropped connections."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from broker.backoff import Backoff
from broker.errors import Passing
from cloud.cli.client import Client

RETRY = Backoff(first_s=0.5, max_s=30.0)
DATA_CHARS_MAX = 4 * 1024 * 1024  # of one event; a server that never ends one must not fill our memory


@dataclass(frozen=True)
class Event:
    """One event; `id` is empty when the server gave none."""

    type: str
    data: str
    id: str = ""

    def document(self) -> dict[str, Any]:
        """Return the data as a JSON object; empty when it is none."""
        try:
            value = json.loads(self.data)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}


@dataclass
class Reader:
    """Takes lines without their ends; gives an event at each empty line that ends one."""

    last_id: str = ""
    _type: str = ""
    _data: list[str] = field(default_factory=list)
    _chars: int = 0

    def take(self, line: str) -> Event | None:
        """Return the event that this line ends, or None."""
        if not line:
            return self._end()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._chars += len(value)
            if self._chars <= DATA_CHARS_MAX:
                self._data.append(value)
        elif name == "event":
            self._type = value
        elif name == "id" and "\0" not in value:
            self.last_id = value
        return None

    def _end(self) -> Event | None:
        kind, data, chars = self._type or "message", "\n".join(self._data), self._chars
        self._type, self._data, self._chars = "", [], 0
        if not data or chars > DATA_CHARS_MAX:
            return None
        return Event(kind, data, self.last_id)


def follow(client: Client, *, pause: Callable[[float], None], lost: Callable[[str], None]) -> Iterator[Event]:
    """Yield events for ever, connecting again after the last one seen; `lost` hears why, once for each time.

    Raises `Refused` when the cloud does not let us, and `Passing` when it does not answer the first time.
    """
    last_id, attempt, connected_once = "", 0, False
    while True:
        try:
            headers = {"Last-Event-ID": last_id} if last_id else {}
            with client.lines("/v1/events", headers, since=last_id or None) as lines:
                reader = Reader(last_id)
                for line in lines:
                    attempt, connected_once = 0, True
                    event = reader.take(line)
                    last_id = reader.last_id
                    if event is not None:
                        yield event
            why = "the cloud ended the stream"
        except Passing as error:
            if not connected_once:
                raise
            why = str(error)
        if attempt == 0:
            lost(why)
        pause(RETRY.delay_s(attempt, random.random()))  # noqa: S311 - jitter, not a secret
        attempt += 1
