"""TCP for services that ask for it: a forwarder for each app network, bound to that network's bridge device.

A server bound to the bridge's *address* would answer whoever has a route to it (measured); bound to the *device* it
takes only what comes in from that network. Behind it lies the intake's unix socket, so nothing listens for others.
"""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

log = logging.getLogger(__name__)

SO_BINDTODEVICE = 25  # asm-generic/socket.h; named in the socket module only from Python 3.12 on some platforms
CONNECTIONS_MAX = 64  # of one network; the intake itself takes 256 for all
IDLE_S = 300.0
TOLD_S = 600.0  # for so long it is told that connections were closed
CHUNK = 64 * 1024


class Forwarders:
    """Owns the listeners. The reconcile thread says which networks need one. `crowded` is told of a new refusal."""

    def __init__(self, socket_path: Path, *, port: int, crowded: Callable[[], None] = lambda: None) -> None:
        self._socket_path = socket_path
        self._port = port
        self._crowded = crowded
        self._servers: dict[str, _Server] = {}
        self.errors: dict[str, str] = {}

    @property
    def turned_away(self) -> dict[str, str]:
        """Return a sentence for each network that has just met its limit: how many connections were closed."""
        return {
            network: f"{server.device}: {server.turned_away} connections closed, as {CONNECTIONS_MAX} were in use"
            for network, server in self._servers.items()
            if server.turned_away and time.monotonic() - server.turned_away_at < TOLD_S
        }

    def ensure(self, bridges: Mapping[str, str]) -> None:
        """Listen on exactly these networks: engine network id -> bridge device."""
        for network in self._servers.keys() - bridges.keys():
            self._servers.pop(network).close()
        for network, device in bridges.items():
            if network in self._servers:
                continue
            try:
                self._servers[network] = _Server(device, self._port, self._socket_path, self._crowded)
                self.errors.pop(network, None)
            except OSError as error:
                self.errors[network] = f"cannot listen on {device}:{self._port}: {error}"
                log.error("telemetry forwarder: %s", self.errors[network])

    def close(self) -> None:
        self.ensure({})


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, device: str, port: int, socket_path: Path, crowded: Callable[[], None]) -> None:
        self.device = device
        self.crowded = crowded
        self.turned_away = 0
        self.turned_away_at = 0.0
        self.socket_path = socket_path
        self.slots = threading.BoundedSemaphore(CONNECTIONS_MAX)
        super().__init__(("0.0.0.0", port), _Forward)  # noqa: S104 - bound to one device below, whatever the address
        self._thread = threading.Thread(target=self.serve_forever, name=f"forward-{device}", daemon=True)
        self._thread.start()

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, self.device.encode())
        super().server_bind()

    def close(self) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: object, client_address: object) -> None:
        log.debug("a forwarded connection ended", exc_info=True)


class _Forward(socketserver.BaseRequestHandler):
    server: _Server

    def handle(self) -> None:
        if not self.server.slots.acquire(blocking=False):
            is_news = time.monotonic() - self.server.turned_away_at > TOLD_S
            self.server.turned_away += 1  # the app sees a closed connection and tries again
            self.server.turned_away_at = time.monotonic()
            if is_news or self.server.turned_away == 1:
                self.server.crowded()
            return
        try:
            with socket.socket(socket.AF_UNIX) as upstream:
                upstream.settimeout(IDLE_S)
                self.request.settimeout(IDLE_S)  # one that takes no answers must not hold its place for ever
                upstream.connect(str(self.server.socket_path))
                _pump(self.request, upstream)
        except OSError as error:
            log.debug("forwarded connection: %s", error)
        finally:
            self.server.slots.release()


def _pump(app: socket.socket, intake: socket.socket) -> None:
    """Copy both ways until both are done; the end of one direction is passed on and the other goes on."""
    other = {app: intake, intake: app}
    reading = {app, intake}
    while reading:
        ready, _, _ = select.select(list(reading), [], [], IDLE_S)
        if not ready:
            return
        for source in ready:
            data = source.recv(CHUNK)
            if data:
                other[source].sendall(data)
                continue
            reading.discard(source)
            if source is intake:
                return
            with contextlib.suppress(OSError):
                other[source].shutdown(socket.SHUT_WR)
