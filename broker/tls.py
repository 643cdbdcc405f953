"""TLS contexts for our own authorities: pinned by file or by hash, resuming, not judging dates of servers.

A device whose clock says 1970 must still connect, so a server's validity dates are not judged; revocation comes by
trust documents. Everything else is: chain, name, purpose.
"""

from __future__ import annotations

import hashlib
import http.client
import socket
import ssl
from pathlib import Path
from typing import Any

from broker.errors import Passing, Refused

X509_V_FLAG_NO_CHECK_TIME = 0x200000  # openssl/x509_vfy.h; Python has no name for it
HANDSHAKE_S_MAX = 10.0
CA_BYTES_MAX = 64 * 1024


class _BoundedSocket(ssl.SSLSocket):
    """Never waits for longer than a handshake may take: paho would wait a whole keepalive."""

    def settimeout(self, value: float | None) -> None:
        super().settimeout(HANDSHAKE_S_MAX if value is None else min(value, HANDSHAKE_S_MAX))


class ResumingContext(ssl.SSLContext):
    """Offers the last TLS session to the next connection, which halves what a reconnect costs."""

    _session: ssl.SSLSession | None = None
    _live: ssl.SSLSocket | None = None

    def wrap_socket(self, sock: socket.socket, *args: Any, **options: Any) -> ssl.SSLSocket:
        try:
            self._live = super().wrap_socket(sock, *args, **(options | {"session": self._session}))
        except (ValueError, ssl.SSLError):  # a session of another protocol version or authority
            self._session = None
            self._live = super().wrap_socket(sock, *args, **options)
        return self._live

    def keep_session(self) -> None:
        """Remember the session: after the first answer and before closing, as TLS 1.3 tickets come late."""
        if self._live is not None:
            try:
                self._session = self._live.session or self._session
            except ssl.SSLError:
                self._session = None

    @property
    def resumed(self) -> bool:
        return bool(self._live is not None and self._live.session_reused)


def client_context(ca: Path, certificate: Path | None = None, key: Path | None = None) -> ResumingContext:
    """Return a context that believes only `ca` and shows `certificate` where one is given."""
    context = ResumingContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslsocket_class = _BoundedSocket
    context.load_verify_locations(ca)
    context.verify_flags |= X509_V_FLAG_NO_CHECK_TIME
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    return context


def ca_hash(pem: str) -> str:
    """Return `sha256:..` over the certificate's DER: what enrollment tokens and logins pin."""
    return "sha256:" + hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


def fetch_pinned_ca(host: str, port: int, expected_hash: str) -> str:
    """Return the PEM of the authority a server names at /v1/ca, if it has the expected hash.

    Nothing is believed before the hash matches. Raises `Refused` on another hash, `Passing` when nobody answers.
    """
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the hash is the proof; only public bytes are read here
    connection = http.client.HTTPSConnection(host, port, timeout=HANDSHAKE_S_MAX, context=context)
    try:
        connection.request("GET", "/v1/ca")
        response = connection.getresponse()
        body = response.read(CA_BYTES_MAX)
    except (OSError, http.client.HTTPException) as error:
        raise Passing(f"no answer from {host}:{port}: {error}") from error
    finally:
        connection.close()
    try:
        pem = body.decode("ascii")
        found = ca_hash(pem)
    except ValueError as error:
        raise Refused("bad_ca", f"{host}:{port} gave no certificate at /v1/ca (status {response.status})") from error
    if found != expected_hash:
        raise Refused("wrong_ca", f"{host}:{port} shows authority {found}, the token or login names {expected_hash}")
    return pem
