"""A real cloud that stores what devices send, and devices that do nothing but send."""

from __future__ import annotations

import secrets
import socket
import sqlite3
import ssl
import struct
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, closing
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
import psycopg

from bench.telemetry_device import readings
from broker.channels import BATCH, SYNC
from broker.codec import open_sealed, seal
from broker.messages import Batch, Conn, Instant
from broker.payloads import SAMPLES, pack_rows
from broker.tls import client_context
from broker.transport import Endpoint
from device.config import Identity, Paths, read_identity
from examples.demo.world import Cli, Cloud, Device

DEVICES = 8
SAMPLES_A_BATCH = 100
BATCHES = 1000  # of each device in a round
WINDOW = 16  # as the shipper
SILENCE_S = 5.0


class CloudUnderTest(AbstractContextManager["CloudUnderTest"]):
    """`skerry-cloud` as it is served, with devices enrolled; one of them is for whoever drains a buffer."""

    def __init__(self, folder: Path, *, database: str = "") -> None:
        self._cloud = Cloud(folder, mark=secrets.token_hex(8), keepalive_s=300)
        self._database = database
        self._folder = folder

    def __enter__(self) -> Self:
        mark = secrets.token_hex(8)
        self._cloud.init(database=self._database)
        self._cloud.start()
        cli = Cli(self._folder / "home", mark=mark)
        cli.login(self._cloud)
        enrolled = []
        for n in range(DEVICES + 1):
            device = Device(self._folder / f"d{n}", broker_port=self._cloud.broker_port, mark=mark)
            device.enroll(cli("device", "enroll-token")["token"], name=f"pump-{n}")
            device.link.close()
            enrolled.append((Paths(device.state), read_identity(Paths(device.state))[0]))
        self.drained, *self._devices = enrolled
        self._payloads = list(payloads(50))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is not None:
            print(self._cloud.process.tail(30), file=sys.stderr)
        self._cloud.process.stop()

    @property
    def broker(self) -> Endpoint:
        return Endpoint("127.0.0.1", self._cloud.broker_port)

    def ingest(self) -> dict[str, float]:
        """Send batches from all devices at once; return samples a second, and for each second of the cloud's work."""
        senders = [Sender(*device, self.broker, self._payloads) for device in self._devices]
        assert self._cloud.process._process is not None
        process = psutil.Process(self._cloud.process._process.pid)
        commits = self._commits()
        before, began = sum(process.cpu_times()[:2]), time.perf_counter()
        threads = [threading.Thread(target=sender.run) for sender in senders]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        seconds, worked = time.perf_counter() - began, sum(process.cpu_times()[:2]) - before
        failed = [sender.acked for sender in senders if sender.acked < BATCHES]
        if failed:
            raise TimeoutError(f"the cloud answered for {failed} of {BATCHES} batches")
        samples = DEVICES * BATCHES * SAMPLES_A_BATCH
        return {
            "ingest_samples_per_s": samples / seconds,
            "ingest_samples_per_cpu_s": samples / worked,
            "ingest_us_per_batch": worked / (DEVICES * BATCHES) * 1e6,
            "ingest_batches_a_commit": DEVICES * BATCHES / (self._commits() - commits),
        }

    def _commits(self) -> int:
        asked = "SELECT counter FROM meta"
        if self._database:
            with psycopg.connect(self._database) as server:
                found = server.execute(asked).fetchone()
        else:
            with closing(sqlite3.connect(f"file:{self._cloud.database}?mode=ro", uri=True)) as file:
                found = file.execute(asked).fetchone()
        assert found is not None
        return int(found[0])


class PlainRows:
    """The same blobs into the same server, by whoever wants nothing else: one table, its key, as many a commit."""

    def __init__(self, url: str) -> None:
        self._link = psycopg.connect(url)
        self._link.execute("CREATE TABLE plain (place text, first bigint, payload bytea, PRIMARY KEY (place, first))")
        self._link.commit()
        self._payloads = payloads(50)
        self._next = 1

    def insert(self, *, a_commit: int) -> float:
        """Return the samples a second."""
        count = BATCHES * DEVICES // 2
        began = time.perf_counter()
        for first in range(self._next, self._next + count, a_commit):
            numbers = range(first, min(first + a_commit, self._next + count))
            rows = [(f"d{n % DEVICES}", n, self._payloads[n % len(self._payloads)]) for n in numbers]
            self._link.cursor().executemany("INSERT INTO plain VALUES (%s, %s, %s)", rows)
            self._link.commit()
        self._next += count
        return count * SAMPLES_A_BATCH / (time.perf_counter() - began)

    def close(self) -> None:
        self._link.close()


def payloads(count: int) -> Sequence[bytes]:
    """Return batches of samples as the mover packs them."""
    rows = [
        [part.encode() for item in row.items() for part in item] for row in readings(count * SAMPLES_A_BATCH, seed=2)
    ]
    times = [1_700_000_000_000 + n * 100 for n in range(SAMPLES_A_BATCH)]
    return [pack_rows(times, rows[n : n + SAMPLES_A_BATCH]) for n in range(0, len(rows), SAMPLES_A_BATCH)]


class Sender:
    """One device on a plain TLS socket, its batches sealed beforehand: so that little is spent beside the cloud."""

    def __init__(self, paths: Paths, identity: Identity, broker: Endpoint, found: Sequence[bytes]) -> None:
        self._identity = identity
        self._broker = broker
        self._context = client_context(paths.ca, paths.certificate, paths.key)
        self._epoch = secrets.randbits(62)
        topic = BATCH.topic(identity.ref).encode()
        self._packets = [
            _publish(topic, number, self._sealed(number, found[number % len(found)]))
            for number in range(1, BATCHES + 1)
        ]
        self.acked = 0

    def _sealed(self, number: int, payload: bytes) -> bytes:
        conn = Conn(boot="b" * 32, count=1)
        last = number * SAMPLES_A_BATCH
        batch = Batch(
            conn=conn, n=number, stream="telemetry:bench", epoch=self._epoch, first=last - SAMPLES_A_BATCH + 1,
            last=last, at=Instant(boot=conn.boot, mono_ms=number, wall_ms=number), format=SAMPLES, payload=payload,
        )  # fmt: skip
        return seal(BATCH, self._identity.ref, batch, self._identity.mac)

    def run(self) -> None:
        """Send within the window until the cloud has answered for everything, or is silent."""
        plain = socket.create_connection((self._broker.host, self._broker.port))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._context.wrap_socket(plain, server_hostname=self._broker.host) as link:
            link.settimeout(SILENCE_S)
            name = self._identity.ref.cn.encode()
            link.sendall(_packet(0x10, b"\0\4MQTT\4\2" + struct.pack(">H", 300) + struct.pack(">H", len(name)) + name))
            topic = SYNC.topic(self._identity.ref).encode()
            link.sendall(_packet(0x82, b"\0\1" + struct.pack(">H", len(topic)) + topic + b"\0"))
            self._exchange(link)

    def _exchange(self, link: ssl.SSLSocket) -> None:
        waiting, sent = b"", 0
        while self.acked < BATCHES:
            until = min(BATCHES, self.acked + WINDOW)
            if sent < until:
                link.sendall(b"".join(self._packets[sent:until]))
                sent = until
            try:
                waiting += link.recv(65536)
            except TimeoutError:
                return
            waiting = self._read(waiting)

    def _read(self, data: bytes) -> bytes:
        """Take whole packets off the front; return what is left of a further one."""
        while (packet := _first(data)) is not None:
            kind, body, size = packet
            data = data[size:]
            if kind >> 4 == 3:
                length = int.from_bytes(body[:2], "big")
                sync = open_sealed(SYNC, self._identity.ref, body[2 + length :], self._identity.mac).message
                held = [held.contiguous for held in sync.streams if held.epoch == self._epoch]
                self.acked = max([self.acked, *(number // SAMPLES_A_BATCH for number in held)])
        return data


def _publish(topic: bytes, number: int, payload: bytes) -> bytes:
    return _packet(0x32, struct.pack(">H", len(topic)) + topic + struct.pack(">H", number % 65535 + 1) + payload)


def _packet(kind: int, body: bytes) -> bytes:
    """Return an MQTT packet: MQTT 3.1.1 section 2.2."""
    left, length = len(body), bytearray()
    while True:
        left, byte = left >> 7, left & 127
        length.append(byte | (128 if left else 0))
        if not left:
            return bytes((kind, *length)) + body


def _first(data: bytes) -> tuple[int, bytes, int] | None:
    """Return kind, body and whole size of the first packet; None where it is not complete."""
    length, at = 0, 1
    while at < len(data):
        length |= (data[at] & 127) << 7 * (at - 1)
        at += 1
        if not data[at - 1] & 128:
            return (data[0], data[at : at + length], at + length) if len(data) >= at + length else None
    return None
