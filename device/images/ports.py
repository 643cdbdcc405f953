"""The port of the loopback registry: chosen once for a device and kept, for it is part of every image's name."""

from __future__ import annotations

import random
import socket
from pathlib import Path

from broker.errors import Refused
from broker.files import write_durably
from device.images.loopback import HOST

FIRST, LAST = 20_000, 29_999  # below the ports that Linux gives to outgoing connections
TRIES = 50


def kept_port(path: Path) -> int:
    """Return the port in a file; choose a free one and write it where there is none, or nothing that makes sense."""
    try:
        port = int(path.read_text())
        if 0 < port < 65536:
            return port
    except (FileNotFoundError, ValueError):
        pass
    port = _free_port()
    write_durably(path, str(port).encode())
    return port


def _free_port() -> int:
    for _ in range(TRIES):
        port = random.randint(FIRST, LAST)  # noqa: S311 - any will do
        with socket.socket() as probe:
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    raise Refused("no_port", f"no port between {FIRST} and {LAST} is free")
