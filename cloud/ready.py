"""The ready file: where everything is, written when all of it is up."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from broker.files import write_durably
from cloud.config import Settings


@dataclass(frozen=True)
class Ready:
    """`api` is a URL, the others are `host:port`."""

    api: str
    broker: str
    service_broker: str
    registry: str
    ca_hash: str
    pid: int
    store: str


def of(settings: Settings, *, ca_hash: str, store: str) -> Ready:
    return Ready(
        api=settings.api_url,
        broker=str(settings.broker),
        service_broker=str(settings.service_broker),
        registry=str(settings.registry),
        ca_hash=ca_hash,
        pid=os.getpid(),
        store=store,
    )


def write(path: Path, ready: Ready) -> None:
    write_durably(path, json.dumps(asdict(ready), indent=2).encode() + b"\n", mode=0o644)
