"""A broker that says what a script says, for what no real one can be brought to say."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from types import TracebackType

from broker.transport import Endpoint
from tests.harness.mqtt import Authority

# MQTT 5: type and flags, length, then the packet's own fields and an empty set of properties.
CONNACK = bytes((0x20, 3, 0, 0, 0))
SUBACK = bytes((0x90, 4, 0, 1, 0, 0))  # to packet 1, which the first one of a connection is
SPOKEN_FIRST = 2  # a client sends CONNECT and SUBSCRIBE by itself
SESSION_TAKEN_OVER = bytes((0xE0, 2, 0x8E, 0))


class ScriptedBroker:
    """Listens with TLS; on each connection it sends the first answer after whatever comes, then the next, and so on.

    What stands behind the answer to the subscription is sent at once: no client speaks first then.
    """

    def __init__(self, authority: Authority, answers: list[bytes]) -> None:
        self._answers = answers
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(*authority.issue("scripted", server=True))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = Endpoint("127.0.0.1", int(self._listener.getsockname()[1]))
        self._thread = threading.Thread(target=self._accept, name="scripted-broker", daemon=True)

    def __enter__(self) -> ScriptedBroker:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)

    def _accept(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return  # closed: the test is over
            with contextlib.suppress(OSError), self._context.wrap_socket(plain, server_side=True) as client:
                self._play(client)

    def _play(self, client: ssl.SSLSocket) -> None:
        for place, answer in enumerate(self._answers):
            if place < SPOKEN_FIRST and not client.recv(65536):
                return
            client.sendall(answer)
        client.recv(65536)  # until the client closes
