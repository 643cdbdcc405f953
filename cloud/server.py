"""The HTTP server: the application over TLS, in a thread of its own."""

from __future__ import annotations

import socket
import threading

import uvicorn
from fastapi import FastAPI

from broker.errors import Passing
from broker.transport import Endpoint
from cloud.pki import Pki

START_S_MAX = 15.0
CLOSE_S_MAX = 2  # an event stream never ends by itself, and idle connections are not always closed by clients
BACKLOG = 512


class ApiServer:
    """Listens from `start` to `stop`."""

    def __init__(self, app: FastAPI, endpoint: Endpoint, pki: Pki) -> None:
        self._endpoint = endpoint
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                ssl_certfile=str(pki.certificate("server")),
                ssl_keyfile=str(pki.key("server")),
                log_config=None,
                access_log=False,
                server_header=False,
                lifespan="off",
                timeout_graceful_shutdown=CLOSE_S_MAX,
            )
        )
        self._thread = threading.Thread(target=self._run, name="api", daemon=True)
        self._over = threading.Event()
        self._socket: socket.socket | None = None

    def start(self) -> None:
        """Return when requests are answered; raise `Passing` when the address cannot be had."""
        try:
            self._socket = socket.create_server((self._endpoint.host, self._endpoint.port), backlog=BACKLOG)
        except OSError as error:
            raise Passing(f"cannot listen on {self._endpoint}: {error.strerror}") from error
        self._thread.start()
        waited = 0.0
        while not self._server.started and not self._over.wait(0.02) and waited < START_S_MAX:
            waited += 0.02
        if not self._server.started:
            raise Passing(f"the HTTP server on {self._endpoint} did not start")

    def stop(self) -> None:
        """Finish the requests under way and close."""
        self._server.should_exit = True
        if self._thread.ident is not None:
            self._thread.join(CLOSE_S_MAX + 5.0)
        if self._socket is not None:
            self._socket.close()

    def _run(self) -> None:
        assert self._socket is not None
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._over.set()
