"""What an engine tells while it builds, pulls and pushes: progress, results and failures, out of its events. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from compose.errors import one_line

LINES_KEPT = 5  # of a failed build: enough to see the message of a compiler

_UNAUTHORIZED = ("unauthorized", "denied", "no basic auth credentials", "401", "403 forbidden", "insufficient_scope")
_UNREACHABLE = (
    *("connection refused", "no such host", "no route to host", "i/o timeout", "network is unreachable", "eof"),
    *("client.timeout", "context deadline exceeded", "connection reset", "server misbehaving", "x509", "tls:"),
    *("server gave http response to https client", "502", "503", "504"),
)


def is_unauthorized(message: str) -> bool:
    """Return whether a failure is one of rights."""
    return any(word in message.lower() for word in _UNAUTHORIZED)


def is_unreachable(message: str) -> bool:
    """Return whether a failure is one of the way to the registry."""
    return any(word in message.lower() for word in _UNREACHABLE)


@dataclass
class Events:
    """Collects the events of one operation."""

    error: str = ""
    image_id: str = ""
    digest: str = ""
    step: str = ""
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=LINES_KEPT))
    _done: dict[str, int] = field(default_factory=dict)
    _total: dict[str, int] = field(default_factory=dict)

    @property
    def done_bytes(self) -> int:
        return sum(self._done.values())

    @property
    def total_bytes(self) -> int:
        return sum(self._total.values())

    def take(self, event: Mapping[str, Any]) -> bool:
        """Note one event; return whether it changed the progress."""
        if "error" in event:
            self.error = one_line(str(event["error"]))
        aux = event.get("aux")
        if isinstance(aux, Mapping):
            self.image_id = str(aux.get("ID") or self.image_id)
            self.digest = str(aux.get("Digest") or self.digest)
        if "stream" in event:
            self._take_output(str(event["stream"]))
        return self._take_progress(event)

    def _take_output(self, text: str) -> None:
        for line in text.splitlines():
            if line.startswith("Step "):
                self.step = one_line(line)
                self.lines.clear()
            elif line.strip() and not line.startswith(" ---> "):
                self.lines.append(one_line(line))

    def _take_progress(self, event: Mapping[str, Any]) -> bool:
        layer = event.get("id")
        if not isinstance(layer, str):
            return False
        status = str(event.get("status", ""))
        detail = event.get("progressDetail")
        if isinstance(detail, Mapping) and detail.get("current"):
            if status not in ("Pushing", "Downloading"):
                return False  # extracting goes over the same bytes a second time
            current = int(detail["current"])
            self._done[layer] = current
            self._total[layer] = max(int(detail.get("total") or 0), current, self._total.get(layer, 0))
            return True
        if status in ("Pushed", "Download complete", "Layer already exists", "Already exists", "Pull complete"):
            self._done[layer] = self._total.get(layer, 0)
            return True
        return False
