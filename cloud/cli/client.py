"""HTTP to one cloud: its authority pinned, its answers typed, its errors ours."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, TypeVar

import httpx
from pydantic import ValidationError

from cloud.cli.answers import Answer
from cloud.cli.errors import CloudUnreachable, RequestRefused

T = TypeVar("T", bound=Answer)

CONNECT_S_MAX = 10.0
ANSWER_S_MAX = 60.0  # the longest request is a deployment to a large fleet
SILENCE_S_MAX = 45.0  # of the event stream, which says something every 15 s
ANSWER_BYTES_MAX = 64 * 1024 * 1024
NOT_NOW = frozenset({429, 500, 502, 503, 504})
HINTS = {
    "app_deployed": "add --force: its removal is deployed first",
}
SEE = {  # what to look at when something of a kind was not found
    "/v1/devices": "see: skerry device list",
    "/v1/telemetry": "see: skerry device list",
    "/v1/logs": "see: skerry device list",
    "/v1/apps": "see: skerry app list",
    "/v1/fleets": "see: skerry fleet list, skerry app list",
    "/v1/commands": "see: skerry command list",
    "/v1/deployments": "see: skerry app list, skerry app show APP, skerry fleet list",
    "/v1/enroll-tokens": "see: skerry fleet list",
    "/v1/bundle": "see: skerry app show APP, skerry fleet list, skerry device list",
}
CA_HINT = "is this the cloud you logged in to? If its authority changed on purpose, log in again"


class Client:
    """Speaks to one cloud with one login. `transport` takes the place of the network in tests."""

    def __init__(
        self, url: str, *, ca: str = "", token: str = "", transport: httpx.BaseTransport | None = None
    ) -> None:
        self.url = url
        self._http = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=httpx.Timeout(ANSWER_S_MAX, connect=CONNECT_S_MAX),
            verify=pinned(ca),
            transport=transport,
            trust_env=False,  # a proxy that ends our TLS cannot show our authority; one that does not is not worth it
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def get(self, path: str, answer: type[T], **query: str | int | Sequence[str] | None) -> T:
        """Return the answer to a GET; values that are None are left out of the query."""
        return self._checked(path, self._request("GET", path, query=query), answer)

    def post(self, path: str, answer: type[T], body: Mapping[str, Any]) -> T:
        """Return the answer to a POST with a JSON body."""
        return self._checked(path, self._request("POST", path, body=body), answer)

    def put(self, path: str, answer: type[T], body: Mapping[str, Any]) -> T:
        """Ask for something to be as `body` says."""
        return self._checked(path, self._request("PUT", path, body=body), answer)

    def patch(self, path: str, answer: type[T], body: Mapping[str, Any]) -> T:
        """Return the answer to a PATCH with a JSON body."""
        return self._checked(path, self._request("PATCH", path, body=body), answer)

    def call(self, method: str, path: str, **query: str | int | None) -> None:
        """Make a request whose answer says nothing but that it was done."""
        self._request(method, path, query=query)

    @contextmanager
    def lines(self, path: str, headers: Mapping[str, str], **query: str | int | None) -> Iterator[Iterator[str]]:
        """Yield the lines of an answer that has no end. `CloudUnreachable` when it ends by an error after all."""
        with (
            _translated(self.url),
            self._http.stream(
                "GET",
                path,
                params=_given(query),
                headers={"Accept": "text/event-stream", **headers},
                timeout=httpx.Timeout(SILENCE_S_MAX, connect=CONNECT_S_MAX),
            ) as response,
        ):
            if response.is_error:
                response.read()
                raise _error(response)
            yield response.iter_lines()

    def _request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int | Sequence[str] | None] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> httpx.Response:
        with _translated(self.url):
            response = self._http.request(method, path, params=_given(query or {}), json=body)
        if not response.is_success:
            raise _error(response)
        return response

    def _checked(self, path: str, response: httpx.Response, answer: type[T]) -> T:
        try:
            return answer.model_validate_json(response.content)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise RequestRefused(
                "bad_answer",
                f"{self.url}{path} answers something else than expected ({where}: {first['msg']})",
                hint="is this a Skerry cloud, and of a version that fits this skerry?",
            ) from error


def pinned(ca: str) -> ssl.SSLContext:
    """Return a context that believes one authority and nobody else; refuse what is no certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        if ca:  # without one, nobody is believed
            context.load_verify_locations(cadata=ca)
    except ssl.SSLError as error:
        raise RequestRefused(
            "bad_ca", "the cloud's authority is no certificate that can be pinned", hint="ask the cloud's owner"
        ) from error
    return context


def _given(query: Mapping[str, str | int | Sequence[str] | None]) -> dict[str, str | int | Sequence[str]]:
    return {name: value for name, value in query.items() if value is not None}


@contextmanager
def _translated(url: str) -> Iterator[None]:
    """Turn what the network does into our errors."""
    try:
        yield
    except httpx.InvalidURL as error:
        raise RequestRefused("bad_url", f"{url}: {error}") from error
    except httpx.ConnectError as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise RequestRefused("wrong_ca", f"{url} does not show the pinned authority", hint=CA_HINT) from error
        raise _unreachable(url, error) from error
    except httpx.TransportError as error:
        raise _unreachable(url, error) from error


def _unreachable(url: str, error: Exception) -> CloudUnreachable:
    what = str(error) or type(error).__name__
    return CloudUnreachable(f"no answer from {url} ({what})", hint="is it running, and can this machine reach it?")


def _error(response: httpx.Response) -> RequestRefused | CloudUnreachable:
    """Return what an answer with an error status means."""
    status = response.status_code
    reason, message, hint = "http_error", f"status {status}", ""
    try:
        told = response.json()["error"]
        reason, message = str(told["reason"]), str(told["message"])
        hint = HINTS.get(reason) or str(told.get("hint") or "")
    except (ValueError, KeyError, TypeError, AttributeError):
        message = f"{response.request.method} {response.request.url.path} was answered with status {status}"
    if status in NOT_NOW:
        return CloudUnreachable(message, reason=reason, hint=hint or "try again in a moment")
    if status == 401 and reason != "wrong_password":
        hint = "log in again: skerry login URL --user USER"
    if status == 404 and not hint:
        path = response.request.url.path
        hint = next((look for beginning, look in SEE.items() if path.startswith(beginning)), "")
    return RequestRefused(reason, message, hint=hint, status=status)
