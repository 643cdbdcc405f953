"""What containers write: followed from where the last reader stopped, or the last lines."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from device.engine.connection import Connection, Stream
from device.engine.frames import Frames, Lines
from device.engine.port import EngineRefused, LogLine


class Logs:
    """Reads logs. Each follower has a connection of its own, which `close` ends."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._streams: set[Stream] = set()
        self._closed = False

    def follow(self, container_id: str, *, since_ns: int) -> Iterator[LogLine]:
        with self._connection.reading():
            client = self._connection.new_client()
            try:
                # From a whole second on, however fine the stamps are: see `Lines`.
                asked = {"follow": 1, "since": since_ns // 1_000_000_000}
                stream, is_raw = self._open(client, container_id, asked)
                try:
                    for line in _lines(stream, is_raw=is_raw):
                        if line.at_ns > since_ns:
                            yield line
                finally:
                    with self._lock:
                        self._streams.discard(stream)
            finally:
                client.close()

    def last_lines(self, container_id: str, count: int) -> list[str]:
        try:
            with self._connection.reading():
                stream, is_raw = self._open(self._connection.client(), container_id, {"tail": count})
                return [line.text for line in _lines(stream, is_raw=is_raw)][-count:]
        except EngineRefused as error:
            if error.reason == "not_found":
                return []
            raise

    def close(self) -> None:
        with self._lock:
            self._closed = True
            streams = list(self._streams)
        for stream in streams:
            stream.close()

    def _open(self, client: Any, container_id: str, asked: dict[str, int]) -> tuple[Stream, bool]:
        is_raw = bool(client.inspect_container(container_id)["Config"]["Tty"])
        url = client._url("/containers/{0}/logs", container_id)
        params = {"stdout": 1, "stderr": 1, "timestamps": 1} | asked
        stream = Stream(client, client._get(url, params=params, stream=True))
        with self._lock:
            if self._closed:
                stream.close()
            elif "follow" in asked:
                self._streams.add(stream)
        return stream, is_raw


def _lines(stream: Stream, *, is_raw: bool) -> Iterator[LogLine]:
    frames, lines = Frames(is_raw=is_raw), Lines()
    for data in stream:
        for output, begins, piece in frames.feed(data):
            yield from lines.feed(output, begins, piece)
    yield from lines.end()
