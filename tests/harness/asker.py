"""Asks a service by its name from inside a container's network, again and again, and counts what came of it.

`python -m tests.harness.asker PID NAME PORT`: PID is any process of that network. Asks until a line comes on standard
input and at least `LEAST` were asked, then prints one JSON object. Names are asked of the engine's own server, up to
three times where a datagram is lost; of several addresses each is tried until one takes the connection: as resolvers
and clients do. Whatever goes wrong after that is a failure.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import socket
import struct
import sys
from pathlib import Path

LEAST = 1000
QUESTIONS, QUESTION_S = 3, 1.5
CLONE_NEWNET = 0x40000000


def main() -> None:
    pid, name, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    server = _name_server(Path(f"/proc/{pid}/root/etc/resolv.conf"))
    _enter(pid)
    answered = 0
    failed: list[str] = []
    said: set[str] = set()
    while answered + len(failed) < LEAST or not select.select([sys.stdin], [], [], 0)[0]:
        addresses: list[str] = []
        try:
            addresses = _addresses(name, server)
            said.add(_asked(addresses, port))
            answered += 1
        except OSError as error:
            failed.append(f"after {answered}, at {addresses}: {error!r}")
    print(json.dumps({"answered": answered, "failed": failed, "said": sorted(said)}))


def _name_server(file: Path) -> str:
    lines = [line.split() for line in file.read_text().splitlines()]
    return next(line[1] for line in lines if line and line[0] == "nameserver")


def _enter(pid: str) -> None:
    descriptor = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    if ctypes.CDLL(None, use_errno=True).setns(descriptor, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
    os.close(descriptor)


def _addresses(name: str, server: str) -> list[str]:
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.settimeout(QUESTION_S)
        for tries_left in reversed(range(QUESTIONS)):
            link.sendto(struct.pack(">6H", 7, 0x0100, 1, 0, 0, 0) + labels + struct.pack(">2H", 1, 1), (server, 53))
            try:
                answer = link.recv(4096)
                break
            except TimeoutError:
                if not tries_left:
                    raise
    count, at = struct.unpack(">H", answer[6:8])[0], 12 + len(labels) + 4
    found = []
    for _ in range(count):
        at += 2 if answer[at] & 0xC0 else answer.index(b"\0", at) + 1 - at
        kind, _, _, size = struct.unpack(">2HIH", answer[at : at + 10])
        if kind == 1:
            found.append(socket.inet_ntoa(answer[at + 10 : at + 14]))
        at += 10 + size
    if not found:
        raise OSError(f"no address of {name}")
    return found


def _asked(addresses: list[str], port: int) -> str:
    """Return what the first address that can be connected to says. What breaks after that is a failure."""
    error: OSError | None = None
    for address in addresses:
        try:
            link = socket.create_connection((address, port), timeout=2)
        except OSError as refused:
            error = refused
            continue
        with link:
            link.sendall(b"GET / HTTP/1.0\r\n\r\n")
            text = b""
            while chunk := link.recv(4096):
                text += chunk
        if b" 200 " not in text.partition(b"\r\n")[0]:
            raise OSError(f"{address} answers {text[:60]!r}")
        return text.rpartition(b"\r\n\r\n")[2].decode().strip()
    raise error or OSError("no address")


if __name__ == "__main__":
    main()
