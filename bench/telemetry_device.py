"""The device's half of telemetry with real servers, timed; and the plain ways beside it."""

from __future__ import annotations

import json
import random
import secrets
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import paho.mqtt.client as mqtt
import redis

from broker.channels import SYNC, inbox_filter, match
from broker.clock import SystemClock
from broker.codec import open_sealed
from broker.messages import Conn
from broker.session import Session, SessionConfig
from broker.tls import ResumingContext, client_context
from broker.transport import Endpoint, Publication
from device.config import Identity, Paths
from device.telemetry.shipper import Shipper
from device.uplink import Uplink
from tests.harness import telemetry as harness
from tests.harness.mqtt import start_mosquitto

PLAIN_COUNT = 2000  # entries written one by one, messages sent one by one
PLAIN_MEMORY = 20_000  # entries of the stream that plain memory is read from
HEADERS = 40 + 12  # IPv4 and TCP with timestamps
PATIENCE_S = 120.0
_TCP_INFO = struct.Struct("8B24I4Q2I")  # up to tcpi_segs_in (linux/tcp.h)


def readings(count: int, *, seed: int) -> Iterator[dict[str, str]]:
    """Yield what the sensors of a pump say, ten times a second."""
    noise = random.Random(seed)  # noqa: S311 - the same series in each run
    temperature, pressure = 21.0, 1013.0
    for _ in range(count):
        temperature += noise.gauss(0, 0.02)
        pressure += noise.gauss(0, 0.1)
        rpm = int(noise.gauss(1500, 4))
        yield {
            "temperature": f"{temperature:.2f}", "pressure": f"{pressure:.1f}", "rpm": str(rpm), "state": "running"
        }  # fmt: skip


class Buffered(AbstractContextManager["Buffered"]):
    """Both Redis servers of a device with samples in the intake."""

    def __init__(self, folder: Path, *, samples: int) -> None:
        folder.mkdir()
        self._running = harness.running(folder)
        self._samples = samples

    def __enter__(self) -> Self:
        self._bench = self._running.__enter__()
        self._rows = list(readings(self._samples, seed=1))
        self._left = self._rows
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._running.__exit__(kind, error, at)

    def move(self) -> dict[str, float]:
        """Write all samples as an app, in parts that fit the intake, and move each; the moves alone are timed."""
        app, seconds, at_ms = self._bench.app(), 0.0, 1_700_000_000_000
        while self._left:
            part, self._left = self._left[:20_000], self._left[20_000:]
            pipeline = app.pipeline(transaction=False)
            for row in part:
                at_ms += 100
                pipeline.xadd(harness.STREAM, row, id=f"{at_ms}-0")
            pipeline.execute()
            began = time.perf_counter()
            self._bench.move()
            seconds += time.perf_counter() - began
        app.close()
        if not seconds:
            return {}
        held = sum(self._store().memory_usage(f"batch|{e.place.key}", samples=0) for e in self._bench.buffer.extents())
        return {"move_samples_per_s": self._samples / seconds, "packed_memory_bytes": held / self._samples}

    def xadd_one_by_one(self) -> dict[str, float]:
        """Write some of the samples into the same server, whose nodes are as they are by default for this."""
        store = self._store()
        nodes = store.config_get("stream-node-max-entries")["stream-node-max-entries"]
        store.config_set("stream-node-max-entries", 100)
        began = time.perf_counter()
        for row in self._rows[:PLAIN_COUNT]:
            store.xadd("plain", row)
        seconds = time.perf_counter() - began
        pipeline = store.pipeline(transaction=False)
        for row in self._rows[PLAIN_COUNT:PLAIN_MEMORY]:
            pipeline.xadd("plain", row)
        pipeline.execute()
        held = store.memory_usage("plain", samples=0) / store.xlen("plain")
        store.delete("plain")
        store.config_set("stream-node-max-entries", nodes)
        return {"xadd_samples_per_s": PLAIN_COUNT / seconds, "plain_memory_bytes": held}

    def drain(self, who: tuple[Paths, Identity], broker: Endpoint) -> dict[str, float]:
        """Connect, ship everything, and end when the cloud has answered for all of it."""
        paths, identity = who
        link = _DeviceLink(paths, identity, self._bench, broker)
        began = time.perf_counter()
        link.start()
        while any(extent.trimmed < extent.last for extent in self._bench.buffer.extents()):
            if time.perf_counter() - began > PATIENCE_S:
                raise TimeoutError("the buffer does not drain")
            time.sleep(0.02)
        seconds = time.perf_counter() - began
        wire = wire_bytes(link.socket)
        link.stop()
        return {"drain_samples_per_s": self._samples / seconds, "drain_wire_bytes": wire / self._samples}

    def _store(self) -> Any:
        return redis.Redis(unix_socket_path=str(self._bench.paths.store_socket))


class _DeviceLink:
    """The worker's own session and shipper on a buffer."""

    def __init__(self, paths: Paths, identity: Identity, bench: harness.Bench, broker: Endpoint) -> None:
        self._identity = identity
        self._context = client_context(paths.ca, paths.certificate, paths.key)
        self._conn = Conn(boot=secrets.token_hex(16), count=1)
        self._uplink = Uplink(device=identity.ref, mac=identity.mac)
        self._shipper = Shipper(self._uplink, bench.buffer, clock=SystemClock())
        self._session = Session(
            SessionConfig(
                addresses=(broker,),
                client_id=identity.ref.cn,
                tls=lambda: self._context,
                subscriptions=((inbox_filter(identity.ref), 1),),
            ),
            self,
        )
        self._uplink.attach(self._session)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._shipper.run, args=(self._stopping,))

    @property
    def socket(self) -> socket.socket:
        assert self._context._live is not None
        return self._context._live

    def start(self) -> None:
        self._thread.start()
        self._session.start()

    def stop(self) -> None:
        self._stopping.set()
        self._shipper.poke()
        self._thread.join()
        self._session.stop()

    # --- what the session tells

    def opening(self) -> Publication | None:
        return self._uplink.open(self._conn)

    def up(self, resumed: bool) -> None:
        self._shipper.poke()

    def down(self, reason: str, *, taken_over: bool = False) -> None:
        return

    def message(self, topic: str, payload: bytes) -> None:
        channel, device = match(topic)
        if channel is SYNC:
            self._shipper.synced(open_sealed(SYNC, device, payload, self._identity.mac).message)


class Peer(AbstractContextManager["Peer"]):
    """paho, as one writes it: each sample a message of QoS 1, to a mosquitto with the product's own settings."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._broker = start_mosquitto(folder)
        self._rows = [
            json.dumps({"at_ms": 1_700_000_000_000 + n * 100, **row}, separators=(",", ":"))
            for n, row in enumerate(readings(PLAIN_COUNT * 5, seed=1))
        ]

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._broker.server.stop()

    def send(self) -> dict[str, float]:
        """Connect, publish everything, and end when the broker has answered for all of it."""
        name = "1/acme/pump"
        context: ResumingContext = self._broker.context(self._broker.device_ca, name)
        context.check_hostname = False
        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, name, protocol=mqtt.MQTTv311)
        client.tls_set_context(context)
        client.max_queued_messages_set(0)
        up = threading.Event()
        client.on_connect = lambda *_: up.set()
        began = time.perf_counter()
        client.connect(self._broker.devices.host, self._broker.devices.port)
        client.loop_start()
        up.wait()
        sent = [client.publish(f"sk/1/{name}/up/batch", row, qos=1) for row in self._rows]
        for info in sent:
            info.wait_for_publish()
        seconds = time.perf_counter() - began
        assert context._live is not None
        wire = wire_bytes(context._live)
        client.disconnect()
        client.loop_stop()
        return {"paho_samples_per_s": len(sent) / seconds, "paho_wire_bytes": wire / len(sent)}


def wire_bytes(connection: socket.socket) -> int:
    """Return what a connection has carried so far, both ways, headers of IP and TCP included."""
    found = _TCP_INFO.unpack(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size))
    acked, received, segments_out, segments_in = found[34:38]
    return int(acked + received + HEADERS * (segments_out + segments_in))
