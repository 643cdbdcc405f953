"""The engine's event stream: a hint that something may have changed, never what."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

from device.engine import labels
from device.engine.connection import FOREIGN, Connection, Stream
from device.engine.port import EngineUnavailable

KINDS = ["container", "network"]
_ACTIONS = (
    *("create", "start", "restart", "rename", "update", "pause", "unpause", "health_status"),
    *("die", "oom", "kill", "stop", "destroy", "disconnect"),
)  # of Docker, where they can be asked for by their names: health probes alone are three others each


class Sieve:
    """Lets through what may be ours. An engine tells of networks without their labels, so it cannot be asked to."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._ended: set[str] = set()  # containers that leave their networks because they have ended

    def lets_through(self, event: dict[str, Any]) -> bool:
        """Return whether to look at an event: one of a container of ours, or that a network lost something it had."""
        kind, action = event.get("Type"), str(event.get("Action", ""))
        actor = event.get("Actor") or {}
        about, marks = str(actor.get("ID", "")), actor.get("Attributes") or {}
        if kind == "network":
            return action in ("destroy", "remove") or (
                action == "disconnect" and str(marks.get("container", about)) not in self._ended
            )
        if action in ("die", "died"):
            self._ended.add(about)
        elif action in ("start", "destroy", "remove"):
            self._ended.discard(about)
        return kind == "container" and marks.get(labels.DEVICE) == self._device


class EventWatch:
    """One open event stream, read by its own thread, that remembers whether anything came.

    `heard(event)` is told of each on that thread, and says whether it is news.
    """

    def __init__(self, connection: Connection, device: str, heard: Callable[[dict[str, Any]], bool]) -> None:
        is_docker = connection.kind.name == "docker"
        self._client = connection.new_client()
        self._heard = heard
        self._sieve = Sieve(device)
        self._came = threading.Event()
        self._ended = threading.Event()
        filters = json.dumps({"type": KINDS} | ({"event": _ACTIONS} if is_docker else {}))
        url = self._client._url("/events")
        self._stream = Stream(self._client, self._client._get(url, params={"filters": filters}, stream=True))
        self._thread = threading.Thread(target=self._read, name="engine-events", daemon=True)
        self._thread.start()

    def wait(self, timeout_s: float) -> bool:
        """Return whether something came; raise once the stream has ended."""
        came = self._came.wait(timeout_s)
        self._came.clear()
        if self._ended.is_set():
            self._came.set()
            raise EngineUnavailable("the engine's event stream ended")
        return came

    def poke(self) -> None:
        """Make the waiting thread look, as an event does."""
        self._came.set()

    def close(self) -> None:
        self._ended.set()
        self._came.set()
        self._stream.close()
        self._thread.join(5.0)

    def _read(self) -> None:
        try:
            for event in self._stream.values():
                if self._sieve.lets_through(event) and self._heard(event):
                    self._came.set()
        except (*FOREIGN, EngineUnavailable):
            pass  # however it ended: whoever waits is told that it did
        self._ended.set()
        self._came.set()
        self._client.close()
