"""One turn of the worker: a transaction in which several messages are handled, and what is to be said after it."""

from __future__ import annotations

from dataclasses import dataclass, field

from broker.ids import DeviceRef
from broker.messages import Conn, Refusal
from cloud.ingest.intake import Intake
from cloud.store.database import Connection

Stream = tuple[str, int]
NO_CONN = Conn(boot="0" * 32, count=0)  # named in a sync for a device none of whose births is held


@dataclass
class Touched:
    """A device that gets a sync: whether of all its streams, which ones anyway, and what was refused of them."""

    everything: bool = False
    changed: bool = False
    streams: dict[Stream, list[Refusal]] = field(default_factory=dict)
    replies: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Seen:
    """Something for the live feed."""

    device: DeviceRef
    type: str
    data: dict[str, object]


@dataclass
class Turn:
    """Handlers write through `tx` and say here who is touched, what watchers should see, who gets desired again."""

    tx: Connection
    now_ms: int
    touched: dict[DeviceRef, Touched] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    nudged: list[DeviceRef] = field(default_factory=list)
    issued: bool = False
    revoked: list[DeviceRef] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.intake = Intake(self.tx, now_ms=self.now_ms)

    def touch(self, device: DeviceRef) -> Touched:
        return self.touched.setdefault(device, Touched())
