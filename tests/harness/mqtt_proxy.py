"""A proxy that understands MQTT: it drops publications by channel, after the sender was told that all is well.

That is what a broker's overflowing queue does: the PUBACK says success and the message is gone. TLS ends here on both
sides: the proxy shows the broker's own certificate to the device, and the device's to the broker.
"""

from __future__ import annotations

import contextlib
import random
import select
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

PUBLISH, PUBACK = 3, 4

Drop = Callable[[str], bool]


def nothing(_: str) -> bool:
    """Drop nothing."""
    return False


def kinds(*names: str) -> Drop:
    """Drop every publication on these channels, e.g. `up/batch`."""
    return lambda channel: channel in names


def share(probability: float, *, seed: int) -> Drop:
    """Drop a share of all publications, decided by a seeded generator."""
    generator = random.Random(seed)  # noqa: S311 - repeatable on purpose
    return lambda _: generator.random() < probability


class MqttProxy:
    """Relays between one device and the broker; `drop(channel)` decides about each publication."""

    def __init__(self, *, broker_port: int, pki: Path, device: Path) -> None:
        self._target = ("127.0.0.1", broker_port)
        self._near = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._near.load_cert_chain(pki / "server.crt", pki / "server.key")
        self._far = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._far.load_verify_locations(pki / "servers.crt")
        self._device = device
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._closed = threading.Event()
        self.drop: Drop = nothing
        self.twice: Drop = nothing  # what is passed on two times
        self.payloads: dict[str, list[bytes]] = {}  # what came on the channels that are kept
        self.kept: frozenset[str] = frozenset()
        self.passed: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        threading.Thread(target=self._accept, name="mqtt-proxy", daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def close(self) -> None:
        self._closed.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._relay, args=(plain,), name="mqtt-relay", daemon=True).start()

    def _relay(self, plain: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError):
            # Loaded late: the device has its certificate only once it has enrolled.
            self._far.load_cert_chain(
                self._device / "identity" / "device.crt", self._device / "identity" / "device.key"
            )
            with (
                self._near.wrap_socket(plain, server_side=True) as near,
                self._far.wrap_socket(
                    socket.create_connection(self._target, timeout=10), server_hostname="127.0.0.1"
                ) as far,
            ):
                self._pump(near, far)

    def _pump(self, near: ssl.SSLSocket, far: ssl.SSLSocket) -> None:
        other = {near: far, far: near}
        buffers = {near: bytearray(), far: bytearray()}
        while not self._closed.is_set():
            ready = [sock for sock in other if sock.pending()] or select.select(list(other), [], [], 0.5)[0]
            for source in ready:
                data = source.recv(65536)
                if not data:
                    return
                buffers[source] += data
                for packet in packets(buffers[source]):
                    answer = self._judge(packet)
                    if answer is None:
                        other[source].sendall(packet * self._copies(packet))
                    elif answer:
                        source.sendall(answer)

    def _copies(self, packet: bytes) -> int:
        if packet[0] >> 4 != PUBLISH:
            return 1
        topic, _ = publication(packet)
        return 2 if self.twice("/".join(topic.split("/")[-2:])) else 1

    def _judge(self, packet: bytes) -> bytes | None:
        """Return None to pass a packet on, or what to answer in the broker's place."""
        if packet[0] >> 4 != PUBLISH:
            return None
        topic, packet_id = publication(packet)
        channel = "/".join(topic.split("/")[-2:])
        if channel in self.kept:
            self.payloads.setdefault(channel, []).append(payload_of(packet))
        if not self.drop(channel):
            self.passed[channel] += 1
            return None
        self.dropped[channel] += 1
        return b"" if packet_id is None else bytes((PUBACK << 4, 2)) + packet_id


def packets(buffer: bytearray) -> Iterator[bytes]:
    """Take whole packets off the front of a buffer (MQTT 5 section 2.1)."""
    while len(buffer) >= 2:
        length, shift, index = 0, 0, 1
        while True:
            if index >= len(buffer):
                return
            length |= (buffer[index] & 0x7F) << shift
            shift, index = shift + 7, index + 1
            if not buffer[index - 1] & 0x80:
                break
        if len(buffer) < index + length:
            return
        packet = bytes(buffer[: index + length])
        del buffer[: index + length]
        yield packet


def publication(packet: bytes) -> tuple[str, bytes | None]:
    """Return the topic of a PUBLISH, and its packet id where it has one (MQTT 5 section 3.3)."""
    index = 1
    while packet[index] & 0x80:
        index += 1
    index += 1
    size = int.from_bytes(packet[index : index + 2], "big")
    end = index + 2 + size
    topic = packet[index + 2 : end].decode()
    return topic, packet[end : end + 2] if packet[0] & 0b0110 else None


def payload_of(packet: bytes) -> bytes:
    """Return the application's bytes of a PUBLISH, behind its topic, packet id and properties."""
    index = 1
    while packet[index] & 0x80:
        index += 1
    index += 1
    index += 2 + int.from_bytes(packet[index : index + 2], "big")
    if packet[0] & 0b0110:
        index += 2
    return packet[index + 1 + packet[index] :]  # properties are few: their length is one byte
