"""What an idle device costs its link: the bytes of a beat and its answer, counted on the TCP connection, per hour.

A real cloud and a real worker on loopback with a short keepalive; nothing is deployed. What a beat costs does not
depend on how often it comes, so the hour is told for the keepalive that devices get unless the cloud says otherwise.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import secrets
import socket
import struct
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from examples.demo.world import Cli, Cloud, Device

KEEPALIVE_S = 2  # of the run
BEAT_S = 300 * 0.9  # of the hour that is told
HEADERS = 40 + 12  # IPv4 and TCP with timestamps
_TCP_INFO = struct.Struct("8B24I4Q2I")  # up to tcpi_segs_in (linux/tcp.h)


@dataclass(frozen=True)
class Count:
    """Bytes and segments of one side of a connection so far."""

    received: int = 0
    sent: int = 0
    segments_in: int = 0
    segments_out: int = 0

    def minus(self, other: Count) -> Count:
        return Count(*(mine - theirs for mine, theirs in zip(vars(self).values(), vars(other).values(), strict=True)))


class CountingRelay:
    """Relays one connection at a time to the broker; the kernel counts."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._near: socket.socket | None = None
        threading.Thread(target=self._accept, name="relay", daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def count(self) -> Count:
        assert self._near is not None
        found = _TCP_INFO.unpack(self._near.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size))
        acked, received, out, into = found[34:38]
        return Count(received, acked, into, out)

    def _accept(self) -> None:
        while True:
            self._near, _ = self._listener.accept()
            far = socket.create_connection(("127.0.0.1", self._port))
            self._near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for source, target in ((self._near, far), (far, self._near)):
                threading.Thread(target=_copy, args=(source, target), daemon=True).start()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def measure(folder: Path, seconds: float) -> Count:
    """Return what a device's connection carries in that time, once it is settled."""
    mark = secrets.token_hex(8)
    cloud = Cloud(folder / "cloud", mark=mark, keepalive_s=KEEPALIVE_S)
    cloud.init()
    cloud.start()
    relay = CountingRelay(cloud.broker_port)
    device = Device(folder / "d", broker_port=relay.port, mark=mark)
    try:
        cli = Cli(folder / "home", mark=mark)
        cli.login(cloud)
        device.enroll(cli("device", "enroll-token")["token"], name="idle")
        device.process.start()
        while not cli("device", "show", device.id)["status"]:
            time.sleep(0.2)
        time.sleep(5.0)  # what follows a first connection is over by then; a wait for quiet would be one as well
        before = relay.count()
        time.sleep(seconds)
        return relay.count().minus(before)
    finally:
        device.stop()
        cloud.process.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=36.0, help="how long to count")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="skerry-bench-", dir=os.environ.get("TMPDIR")) as folder:
        found = measure(Path(folder), chosen.seconds)
    beats = chosen.seconds / (KEEPALIVE_S * 0.9)
    wire = found.received + found.sent + HEADERS * (found.segments_in + found.segments_out)
    figures = {
        "beats": round(beats),
        "up_bytes_a_beat": round(found.received / beats),
        "down_bytes_a_beat": round(found.sent / beats),
        "segments_a_beat": round((found.segments_in + found.segments_out) / beats, 1),
        "wire_bytes_a_beat": round(wire / beats),
        "wire_bytes_an_hour": round(wire / beats * 3600 / BEAT_S),
    }
    if chosen.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name.replace('_', ' '):22}{value}")


if __name__ == "__main__":
    main()
