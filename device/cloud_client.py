"""The worker's HTTPS requests to the cloud: enrolling, nonces, registry tokens."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any, TypeVar

import urllib3
from pydantic import BaseModel, RootModel, ValidationError

from broker.codec import first_error
from broker.enrollment import (
    EnrollPending,
    EnrollRequest,
    EnrollResponse,
    Nonce,
    RegistryToken,
    RegistryTokenRequest,
    registry_token_proof,
)
from broker.errors import Passing, Refused
from broker.ids import DeviceRef
from broker.signing import Signer
from broker.tls import client_context

T = TypeVar("T", bound=BaseModel)
ANSWER_BYTES_MAX = 256 * 1024
TIMEOUT = urllib3.Timeout(connect=5.0, read=20.0)


class _Enrolled(RootModel[EnrollResponse | EnrollPending]):
    """An identity, or the number under which somebody may approve."""


class CloudClient:
    """Speaks to one cloud, believing only its authority."""

    def __init__(self, url: str, *, ca: Path) -> None:
        self._url = url.rstrip("/")
        self._pool = urllib3.PoolManager(ssl_context=client_context(ca), timeout=TIMEOUT, retries=False)

    def enroll(self, request: EnrollRequest) -> EnrollResponse | EnrollPending:
        """Trade an enrollment secret for an identity, or be told to ask again; `Refused` says why not."""
        return self._call("POST", "/v1/enroll", _Enrolled, request).root

    def registry_token(self, device: DeviceRef, signer: Signer, repositories: tuple[str, ...]) -> str:
        """Return a short-lived token that lets an engine pull `repositories`."""
        nonce = self._call("GET", "/v1/device/nonce", Nonce).nonce
        proof = signer.prove(registry_token_proof(nonce, repositories))
        request = RegistryTokenRequest(
            org=device.org,
            device=device.device,
            nonce=nonce,
            repositories=repositories,
            signature=base64.b64encode(proof).decode(),
        )
        return self._call("POST", "/v1/device/registry-token", RegistryToken, request).token

    def _call(self, method: str, path: str, answer: type[T], body: BaseModel | None = None) -> T:
        data = None if body is None else body.model_dump_json().encode()
        headers = {} if data is None else {"Content-Type": "application/json"}
        try:
            response = self._pool.request(
                method, self._url + path, body=data, headers=headers, preload_content=False, redirect=False
            )
            text = response.read(ANSWER_BYTES_MAX)
            response.release_conn()
        except urllib3.exceptions.HTTPError as error:
            raise Passing(f"no answer from {self._url}: {error}") from error
        if response.status >= 500:
            raise Passing(f"{self._url}{path}: {_message(text, response.status)[1]}")
        if response.status >= 400:
            raise Refused(*_message(text, response.status))
        try:
            return answer.model_validate_json(text)
        except ValidationError as error:
            raise Refused("bad_answer", f"{self._url}{path}: {first_error(error)}") from error


def _message(text: bytes, status: int) -> tuple[str, str]:
    try:
        error: dict[str, Any] = json.loads(text)["error"]
        return str(error["reason"]), str(error["message"])
    except (ValueError, KeyError, TypeError):
        return "http_error", f"status {status}"
