"""What an engine tells of a pull: how far it is, and whether it still moves. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

STALLED_S = 30.0  # without a byte while one is waited for
LOCAL_S = 600.0  # while the engine unpacks, or has a layer wait for its other pulls: a slow disk is busy for minutes
BLIND_S = 600.0  # Podman says only which layer it has begun, so a long silence may be a large layer
_FETCHING = {"Pulling fs layer", "Downloading"}
_FETCHED = {"Verifying Checksum", "Download complete", "Extracting", "Pull complete"}


class Pulling:
    """One pull, by its events. Times are seconds of any monotonic clock."""

    def __init__(self, engine: Literal["docker", "podman"], *, began_at: float) -> None:
        self._is_blind = engine == "podman"
        self._moved_at = began_at
        self._layers: dict[str, str] = {}
        self._bytes: dict[str, tuple[int, int]] = {}
        self._has_begun = False

    @property
    def done(self) -> int:
        return sum(done for done, _ in self._bytes.values())

    @property
    def total(self) -> int:
        return sum(total for _, total in self._bytes.values())

    def hear(self, event: Mapping[str, Any], *, now: float) -> None:
        """Take one event. A countdown to the next try is no movement."""
        text = str(event.get("stream") or "")
        self._has_begun = self._has_begun or text.startswith("Copying blob")
        status, layer = str(event.get("status") or ""), str(event.get("id") or "")
        if status.startswith("Retrying"):
            return
        self._moved_at = now
        if not layer:
            return
        self._layers[layer] = status
        detail = event.get("progressDetail") or {}
        if status == "Downloading" and detail.get("total"):
            self._bytes[layer] = (int(detail.get("current") or 0), int(detail["total"]))
        elif status in _FETCHED and layer in self._bytes:
            self._bytes[layer] = (self._bytes[layer][1],) * 2

    @property
    def patience_s(self) -> float:
        """How long nothing may come."""
        if self._is_blind:
            return BLIND_S if self._has_begun else STALLED_S
        is_fetching = not self._layers or any(status in _FETCHING for status in self._layers.values())
        return STALLED_S if is_fetching else LOCAL_S

    def is_stalled(self, now: float) -> bool:
        return now - self._moved_at > self.patience_s
