"""As much of an X11 server as a client's first words need: it takes the right cookie and nothing else."""

from __future__ import annotations

import socket
import struct
import threading
from pathlib import Path

COOKIE = b"0123456789abcdef"

# A client in plain Python, run inside a container with nothing but what the platform gave it: it finds the display
# and the cookie as Xlib does, says its first words (X11 protocol, chapter 8) and prints the server's answer.
CLIENT = r"""
import os, socket, struct
number = os.environ["DISPLAY"].strip(":").partition(".")[0]
cookie = b""
if "XAUTHORITY" in os.environ:
    data, at = open(os.environ["XAUTHORITY"], "rb").read(), 0
    family, = struct.unpack_from(">H", data)
    at, parts = 2, []
    for _ in range(4):
        length, = struct.unpack_from(">H", data, at)
        parts.append(data[at + 2 : at + 2 + length]); at += 2 + length
    assert family == 0xFFFF, family  # any other family would need our host name
    cookie = parts[3]
name = b"MIT-MAGIC-COOKIE-1" if cookie else b""
def padded(part): return part + bytes(-len(part) % 4)
words = struct.pack("<BxHHHHxx", 0x6C, 11, 0, len(name), len(cookie)) + padded(name) + padded(cookie)
with socket.socket(socket.AF_UNIX) as screen:
    screen.connect(f"/tmp/.X11-unix/X{number}")
    screen.sendall(words)
    print("uid", os.getuid(), {0: "refused", 1: "accepted"}[screen.recv(200)[0]], flush=True)
"""


class XServer:
    """Listens on `folder/X<number>` until it is closed."""

    def __init__(self, folder: Path, number: int) -> None:
        folder.mkdir(exist_ok=True)
        self._socket = socket.socket(socket.AF_UNIX)
        path = folder / f"X{number}"
        self._socket.bind(str(path))
        path.chmod(0o777)
        self._socket.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            with client:
                words = client.recv(4096)
                if len(words) >= 12:
                    names, data = struct.unpack_from("<HH", words, 6)
                    start = 12 + names + -names % 4
                    client.sendall(bytes([words[start : start + data] == COOKIE]) + bytes(7))

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()


def cookies(number: int) -> bytes:
    """Return a file of cookies as a display manager writes it, for this machine's host name."""

    def part(data: bytes) -> bytes:
        return struct.pack(">H", len(data)) + data

    address = part(socket.gethostname().encode())
    return struct.pack(">H", 256) + address + part(str(number).encode()) + part(b"MIT-MAGIC-COOKIE-1") + part(COOKIE)
