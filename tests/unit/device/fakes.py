"""A clock that stands still, a session that records, and a stop event that plays a script: no threads, no waiting."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from broker.channels import DESIRED, TRUST, Channel, match
from broker.codec import Opened, open_sealed, seal
from broker.ids import DeviceRef
from broker.messages import AppSection, Conn, DesiredState, Trust, TrustKey
from broker.signing import MacKey, Signatures, Signer, key_id
from broker.transport import Done, Publication
from device.uplink import Uplink

PUMP = DeviceRef("oaaaaaaaaaaa", "daaaaaaaaaaa")
OTHER = DeviceRef("oaaaaaaaaaaa", "dbbbbbbbbbbb")
MAC = MacKey(b"k" * 32)
ROOT = Signer(b"r" * 32)
ONLINE = Signer(b"o" * 32)
SPARE = Signer(b"p" * 32)
STRANGER = Signer(b"x" * 32)
BOOT = "0" * 32
CONN = Conn(boot=BOOT, count=1)
NEXT_CONN = Conn(boot=BOOT, count=2)


class FakeClock:
    """A clock that moves only when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def wall_ms(self) -> int:
        return int(self.now * 1000)

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Line:
    """A `Transport` that keeps what is published; `room` is how much it still takes."""

    def __init__(self) -> None:
        self.connected = True
        self.room = 1_000_000
        self.published: list[Publication] = []
        self.reconnects = 0

    def start(self) -> None:
        self.connected = True

    def stop(self) -> None:
        self.connected = False

    def reconnect(self) -> None:
        self.reconnects += 1

    def publish(self, publication: Publication, done: Done | None = None) -> bool:
        if not self.connected or self.room <= 0:
            return False
        self.room -= 1
        self.published.append(publication)
        return True

    def taken(self) -> list[Any]:
        """Return the messages published since the last call, opened as the cloud does."""
        opened = []
        for publication in self.published:
            channel, device = match(publication.topic)
            opened.append(open_sealed(channel, device, publication.payload, MAC).message)
        self.published.clear()
        return opened


def uplink_on(line: Line, *, conn: Conn | None = CONN) -> Uplink:
    """Return an uplink whose connection is up."""
    uplink = Uplink(device=PUMP, mac=MAC)
    uplink.attach(line)
    if conn is not None:
        uplink.open(conn)
    return uplink


class Script(threading.Event):
    """A stop event: each look at it does the next thing and wakes the reader; after the last one it is set."""

    def __init__(self, actions: Sequence[Callable[[], object]], *, wake: Callable[[], object] = lambda: None) -> None:
        super().__init__()
        self._actions = list(actions)
        self._wake = wake

    def is_set(self) -> bool:
        if not self._actions:
            return True
        self._actions.pop(0)()
        self._wake()
        return False

    def wait(self, timeout: float | None = None) -> bool:
        return False


def nothing() -> None:
    """A turn in which nothing happens."""


def desired(
    generation: int, *, era: int = 1, apps: tuple[AppSection, ...] = (), device: DeviceRef = PUMP, **keys: Any
) -> DesiredState:
    return DesiredState(
        org=device.org, device=device.device, era=era, generation=generation, issued_ms=1, apps=apps, **keys
    )


def sealed_desired(state: DesiredState, *, signer: Signer = ONLINE, device: DeviceRef = PUMP) -> bytes:
    return seal(DESIRED, device, state, signer)


def opened_desired(sealed: bytes) -> Opened:
    return open_sealed(DESIRED, PUMP, sealed, Signatures((ONLINE.public, SPARE.public)))


def trust_document(
    version: int, *keys: Signer, era: int = 1, revoked: tuple[Signer, ...] = (), roles: tuple[Any, ...] = ()
) -> Trust:
    return Trust(
        version=version,
        era=era,
        roots=(ROOT.public,),
        keys=tuple(TrustKey(public=key.public, roles=roles or ("desired", "command")) for key in keys),
        revoked=tuple(key_id(key.public) for key in revoked),
    )


def sealed_trust(document: Trust, *, signer: Signer = ROOT, device: DeviceRef = PUMP) -> bytes:
    return seal(TRUST, device, document, signer)


def sealed_down(channel: Channel, message: Any, *, key: Signer | MacKey = MAC, device: DeviceRef = PUMP) -> bytes:
    return seal(channel, device, message, key)
