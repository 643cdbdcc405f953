"""The image registry (CNCF distribution): its configuration, the tokens it believes, and what it holds."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urljoin

import jwt
import urllib3
from cryptography.hazmat.primitives.asymmetric import ec
from urllib3.exceptions import HTTPError

from broker.errors import Passing, Refused
from broker.oci import ACCEPT, MANIFEST_BYTES_MAX
from cloud import pki
from cloud.config import Settings
from cloud.scopes import Grant

SERVICE = "skerry-registry"
ISSUER = "skerry"
PEOPLE_S = 300
DEVICE_S = 60
CLOCK_SLACK_S = 10
PIECE = 256 * 1024


class RegistryTokens:
    """Signs the bearer tokens that the registry believes (ES256)."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key
        self._kid = key_name(pki.spki(key.public_key()))
        self._lock = threading.Lock()
        self._pushes_at_s: int | None = None  # when the right to push was given last
        self._are_pushes_held = False

    def sign(self, subject: str, grants: tuple[Grant, ...], *, now_s: int, life_s: int) -> str:
        """Return a token for exactly these grants; none is a token that opens nothing.

        Raises `Passing` for one that may push, while pushes are held.
        """
        if any("push" in grant.actions for grant in grants):
            with self._lock:
                if self._are_pushes_held:
                    raise Passing("the registry is being cleared up for a moment: push again in a minute")
                self._pushes_at_s = now_s
        access = [{"type": "repository", "name": grant.repository, "actions": list(grant.actions)} for grant in grants]
        claims = {
            "iss": ISSUER,
            "sub": subject,
            "aud": SERVICE,
            "exp": now_s + life_s,
            "nbf": now_s - CLOCK_SLACK_S,
            "iat": now_s,
            "jti": secrets.token_hex(8),
            "access": access,
        }
        return jwt.encode(claims, self._key, "ES256", headers={"kid": self._kid})

    def hold_pushes(self, *, now_s: int, quiet_s: int) -> bool:
        """Let nobody push from now on; return whether nobody could since `quiet_s`, else nothing is held.

        What an earlier life of this process has given is not known, so the first question counts as a push.
        """
        with self._lock:
            if self._pushes_at_s is None:
                self._pushes_at_s = now_s
            self._are_pushes_held = now_s - self._pushes_at_s >= quiet_s
            return self._are_pushes_held

    def let_push(self) -> None:
        with self._lock:
            self._are_pushes_held = False

    def seconds_left(self, token: str, *, now_s: int) -> int:
        """Return how long one of our own tokens still opens what it opens; refuse any other."""
        try:
            claims = jwt.decode(
                token,
                self._key.public_key(),
                ["ES256"],
                audience=SERVICE,
                issuer=ISSUER,
                options={"require": ["exp"], "verify_exp": False, "verify_nbf": False, "verify_iat": False},
            )
        except jwt.InvalidTokenError as error:
            raise Refused("wrong_token", f"this is no registry token: {error}") from error
        if claims["exp"] <= now_s:
            raise Refused("wrong_token", "this registry token has expired")
        return int(claims["exp"]) - now_s


class Registry:
    """Reads what the running registry holds, and stores what the cloud makes."""

    def __init__(self, settings: Settings, tokens: RegistryTokens, *, servers_ca: Path) -> None:
        scheme = "http" if settings.is_local else "https"
        self._base = f"{scheme}://{settings.registry}"
        self._tokens = tokens
        self._pool = urllib3.PoolManager(
            ca_certs=str(servers_ca), retries=False, timeout=urllib3.Timeout(connect=3.0, read=10.0)
        )

    def manifest(self, repository: str, digest: str, *, now_s: int) -> bytes | None:
        """Return what is under a manifest's digest, None where nothing is; raise `Passing` when nobody knows now."""
        with self._answer(repository, f"manifests/{digest}", {"Accept": ACCEPT}, now_s) as response:
            return None if response is None else response.read(MANIFEST_BYTES_MAX + 1)

    @contextmanager
    def blob(self, repository: str, digest: str, *, now_s: int) -> Iterator[Iterator[bytes] | None]:
        """Give a blob's bytes in pieces, or None where there is no such blob; raise as `manifest` does."""
        with self._answer(repository, f"blobs/{digest}", {}, now_s) as response:
            yield None if response is None else response.stream(PIECE, decode_content=False)

    def put_blob(self, repository: str, digest: str, path: Path, *, now_s: int) -> None:
        """Store a file's bytes under their digest; raise `Passing`."""
        with path.open("rb") as file:
            begun = self._change("POST", repository, "blobs/uploads/", now_s, accepted=(202,))
            place = urllib3.util.parse_url(urljoin(self._base, begun.headers.get("Location", "")))
            sized = {"Content-Length": str(os.fstat(file.fileno()).st_size), "Content-Type": "application/octet-stream"}
            query = "&".join(part for part in (place.query, f"digest={digest}") if part)
            target = f"{self._base}{place.path}?{query}"  # at the address we know: its own name may be another's
            self._change("PUT", repository, target, now_s, accepted=(201,), headers=sized, body=file)

    def put_manifest(self, repository: str, reference: str, kind: str, data: bytes, *, now_s: int) -> None:
        """Store a manifest under a tag or its digest; raise `Passing`."""
        path = f"manifests/{reference}"
        self._change("PUT", repository, path, now_s, accepted=(201,), headers={"Content-Type": kind}, body=data)

    def delete(self, repository: str, path: str, *, now_s: int) -> None:
        """Delete `manifests/<digest>` or `blobs/<digest>`, if it is there; raise `Passing`."""
        self._change("DELETE", repository, path, now_s, accepted=(202, 404))

    def _change(
        self,
        method: str,
        repository: str,
        path: str,
        now_s: int,
        *,
        accepted: tuple[int, ...],
        headers: Mapping[str, str] | None = None,
        body: BinaryIO | bytes | None = None,
    ) -> urllib3.BaseHTTPResponse:
        grants = (Grant(repository, ("pull", "push", "delete")),)
        token = self._tokens.sign("skerry-cloud", grants, now_s=now_s, life_s=PEOPLE_S)
        url = path if path.startswith(self._base) else f"{self._base}/v2/{repository}/{path}"
        try:
            response = self._pool.request(
                method, url, headers={"Authorization": f"Bearer {token}"} | dict(headers or {}), body=body
            )
        except HTTPError as error:
            raise Passing(f"the registry does not answer: {error}") from error
        if response.status not in accepted:
            raise Passing(f"the registry answers {method} of {path[:200]} with status {response.status}")
        return response

    @contextmanager
    def _answer(
        self, repository: str, path: str, headers: dict[str, str], now_s: int
    ) -> Iterator[urllib3.BaseHTTPResponse | None]:
        token = self._tokens.sign("skerry-cloud", (Grant(repository, ("pull",)),), now_s=now_s, life_s=DEVICE_S)
        try:
            response = self._pool.request(
                "GET",
                f"{self._base}/v2/{repository}/{path}",
                headers={"Authorization": f"Bearer {token}", "Accept-Encoding": "identity"} | headers,
                preload_content=False,
            )
            try:
                if response.status not in (200, 404):
                    raise Passing(f"the registry answers with status {response.status}")
                yield response if response.status == 200 else None
            finally:
                response.close()
        except HTTPError as error:
            raise Passing(f"the registry does not answer: {error}") from error

    def answers(self) -> bool:
        """Return whether the registry is up."""
        try:
            return self._pool.request("GET", f"{self._base}/v2/").status in (200, 401)
        except HTTPError:
            return False


def key_name(spki: bytes) -> str:
    """Return the name of a key as the registry computes it (libtrust): any other form is refused by it."""
    text = base64.b32encode(hashlib.sha256(spki).digest()[:30]).decode()
    return ":".join(text[start : start + 4] for start in range(0, 48, 4))


def config_text(settings: Settings, *, token_certificate: Path, server_certificate: Path, server_key: Path) -> str:
    """Return the registry's configuration file. JSON is YAML, and it cannot be broken by an odd path.

    Plain HTTP only where nobody else can listen: on the loopback address.
    """
    tls = {} if settings.is_local else {"tls": {"certificate": str(server_certificate), "key": str(server_key)}}
    config = {
        "version": "0.1",
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": str(settings.folder.registry / "data")},
            "delete": {"enabled": True},
        },
        "http": {"addr": str(settings.registry), "secret": secrets.token_hex(16)} | tls,
        "auth": {
            "token": {
                "realm": f"{settings.api_url}/token",
                "service": SERVICE,
                "issuer": ISSUER,
                "rootcertbundle": str(token_certificate),
            }
        },
    }
    return json.dumps(config, indent=2) + "\n"
