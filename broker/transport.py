"""The port between Skerry and an MQTT session: what may be asked of one, and what it tells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol


@dataclass(frozen=True)
class Endpoint:
    """Where a server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Publication:
    """One message for the broker. `done` is told the delivery on the session's thread, exactly once."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False


class Delivery(Enum):
    """What became of a publication."""

    SENT = "sent"  # QoS 0: written to the socket; QoS 1: the broker answered (which proves nothing about storage)
    DENIED = "denied"  # the broker refused it: not authorised, over quota
    LOST = "lost"  # the connection ended first: the broker may or may not have it


Done = Callable[[Delivery], None]


class Events(Protocol):
    """What a session tells. All calls come on its own thread and must only hand over and return."""

    def opening(self) -> Publication | None:
        """A connection is about to be tried; return its will."""

    def up(self, resumed: bool) -> None:
        """Connected and subscribed; `resumed` when the broker still knew the session."""

    def down(self, reason: str, *, taken_over: bool = False) -> None:
        """A connection ended or could not be made; `taken_over` when another one under the same name ended it."""

    def message(self, topic: str, payload: bytes) -> None:
        """A message arrived."""


class Transport(Protocol):
    """One client identity's connection over time."""

    def start(self) -> None:
        """Begin to connect; returns at once."""

    def stop(self) -> None:
        """Send what is queued, let the broker publish the will, disconnect, wait for the end."""

    def publish(self, publication: Publication, done: Done | None = None) -> bool:
        """Queue a publication from any thread; return False when not connected or the queue is full: try later."""

    def reconnect(self) -> None:
        """Drop the connection and make another one."""

    @property
    def connected(self) -> bool:
        """Whether a connection stands, as far as this side knows."""
