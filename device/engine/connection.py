"""The one way to an engine's socket: its clients, its kind, its answers bit by bit, and its errors in our words."""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlencode

import docker
import requests
import urllib3
from docker.errors import APIError, DockerException, InvalidArgument
from docker.transport import UnixHTTPAdapter
from docker.utils import convert_filters

from broker.engine_limits import older
from device.engine.port import EngineRefused, EngineUnavailable

TIMEOUT_S = 60
STOP_MARGIN_S = 30  # beyond the grace of a stop
READ_BYTES = 64 * 1024
VALUE_CHARS_MAX = 1024 * 1024  # one JSON value of a stream; an engine's are a few hundred characters
HEADERS = {"Host": "localhost", "Connection": "keep-alive"}
_BEGIN = re.compile(r"\s*\{")
LIBPOD = "/v4.0.0/libpod"  # Podman's own API beside Docker's; Podman 5 still answers to this version of it
PODMAN_MIN = 4
API_MIN = "1.41"
ROOTFUL = ("/var/run/docker.sock", "/run/podman/podman.sock")
FOREIGN = (DockerException, requests.RequestException, urllib3.exceptions.HTTPError, OSError)


@dataclass(frozen=True)
class Kind:
    """Which engine answers, as it says itself."""

    name: Literal["docker", "podman"]
    version: str
    api: str


def find_socket(environment: Mapping[str, str], *, uid: int) -> str:
    """Return the address of the engine to use: what DOCKER_HOST says, or the first socket there is, Docker's first."""
    if told := environment.get("DOCKER_HOST"):
        return told
    run = environment.get("XDG_RUNTIME_DIR") or f"/run/user/{uid}"
    places = (*ROOTFUL, f"{run}/docker.sock", f"{run}/podman/podman.sock")
    return "unix://" + next((place for place in places if os.path.exists(place)), ROOTFUL[0])


class Connection:
    """Clients of one engine. Thread-safe; nothing is asked before the first call."""

    def __init__(self, url: str | None = None) -> None:
        self.url = url or find_socket(os.environ, uid=os.getuid())
        self._client: docker.APIClient | None = None
        self._kind: Kind | None = None
        self._lock = threading.Lock()

    def client(self) -> docker.APIClient:
        """Return the client that all short calls share. Its connections are kept open between calls."""
        with self._lock:
            if self._client is None:
                self._client, self._kind = self._greeted()
            return self._client

    def new_client(self) -> docker.APIClient:
        """Return a client of its own without a time-out, for a call that lasts."""
        client = self._unasked(self.kind.api)
        client.timeout = None
        return client

    @property
    def kind(self) -> Kind:
        """Which engine this is; asked once for a connection."""
        while (kind := self._kind) is None:
            self.client()
        return kind

    def _greeted(self) -> tuple[docker.APIClient, Kind]:
        """Return a client and the engine's kind, out of one quick answer; Podman's version takes half a second."""
        client = self._unasked(API_MIN)
        answer = client._get(client._url("/_ping", versioned_api=False))
        client._raise_for_status(answer)
        kind = kind_of(answer.headers)
        client._version = kind.api
        return client, kind

    def _unasked(self, api: str) -> docker.APIClient:
        client = docker.APIClient(base_url=self.url, version=api, timeout=TIMEOUT_S)
        client.trust_env = False  # a proxy of the environment has no business on a unix socket, and asking costs 0.3 ms
        return client

    def containers(self, filters: Mapping[str, str]) -> list[dict[str, Any]]:
        """List containers, running or not. On a socket file without `requests`, whose own work is half of the time that
        a round with nothing to do takes; whatever is not an answer is left to docker-py's words."""
        client = self.client()
        adapter = client.get_adapter(client.base_url)
        if isinstance(adapter, UnixHTTPAdapter):
            url = client._url("/containers/json").removeprefix(client.base_url)
            asked = urlencode({"all": 1, "filters": convert_filters(filters)})
            pool = adapter.get_connection(client.base_url)
            answer = pool.urlopen("GET", f"{url}?{asked}", headers=HEADERS, timeout=TIMEOUT_S, retries=False)
            if answer.status == 200:
                found: list[dict[str, Any]] = json.loads(answer.data)
                return found
        return list(client.containers(all=True, filters=filters))

    def stop(self, container_id: str, *, grace_s: int) -> None:
        """Ask for the end of a container and wait for it; docker-py's own call gives up before a long grace is over."""
        client = self.client()
        url = client._url("/containers/{0}/stop", container_id)
        client._raise_for_status(client._post(url, params={"t": grace_s}, timeout=grace_s + STOP_MARGIN_S))

    def libpod(self, method: str, path: str, **arguments: Any) -> Any:
        """Ask Podman's own API for what Docker's cannot say; return the answer of `requests`."""
        client = self.client()
        answer = client.request(method, libpod_url(client, path), **({"timeout": TIMEOUT_S} | arguments))
        client._raise_for_status(answer)
        return answer

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Translate the errors of a question: an engine that fails to answer it leaves the answer unknown."""
        with self._translated():
            try:
                yield
            except APIError as error:
                if error.is_server_error():
                    raise EngineUnavailable(f"the engine fails: {_explanation(error)}") from error
                raise

    @contextlib.contextmanager
    def acting(self) -> Iterator[None]:
        """Translate the errors of a deed.

        Engines answer 500 for what they will not do (Podman for nearly all of it) and for what fails inside of them;
        texts tell the two apart badly. So whoever still answers has refused, and whoever does not is unavailable.
        """
        with self._translated():
            try:
                yield
            except APIError as error:
                if error.is_server_error() and (error.status_code != 500 or not self._answers()):
                    raise EngineUnavailable(f"the engine fails: {_explanation(error)}") from error
                raise

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except InvalidArgument:  # an argument that docker-py refuses is a bug of ours: let it rise
            raise
        except APIError as error:
            if error.status_code == 404:
                raise EngineRefused("not_found", _explanation(error)) from error
            reason = "engine_error" if error.is_server_error() else "engine_refused"
            raise EngineRefused(reason, _explanation(error)) from error
        except FOREIGN as error:
            self.forget()
            raise EngineUnavailable(f"no answer from the engine: {error}") from error

    def _answers(self) -> bool:
        try:
            return bool(self.client().ping())
        except FOREIGN:
            return False

    def forget(self) -> None:
        """Close what is open. What answers next may be another version, so it is asked again."""
        with self._lock:
            client, self._client, self._kind = self._client, None, None
        if client is not None:
            client.close()


def libpod_url(client: docker.APIClient, path: str) -> str:
    return str(client.base_url) + LIBPOD + path


class Stream:
    """An answer that comes bit by bit. `close` ends it from any thread."""

    def __init__(self, client: docker.APIClient, response: Any) -> None:
        client._raise_for_status(response)
        self._client = client
        self._response = response
        link = response.raw._fp.fp.raw
        self._socket: socket.socket = getattr(link, "_sock", link)
        self._closed = threading.Event()

    def __iter__(self) -> Iterator[bytes]:
        """Yield what has come, until the engine ends the answer or `close` is called; a broken answer raises."""
        try:
            while data := self._response.raw.read1(READ_BYTES):
                yield data
        except FOREIGN:
            if not self._closed.is_set():
                raise
        finally:
            self._response.close()

    def values(self) -> Iterator[dict[str, Any]]:
        """Yield the JSON objects of the answer; an answer that ends inside of one is a broken one."""
        decoder, text = json.JSONDecoder(), ""
        for data in self:
            text, at = text + data.decode(errors="replace"), 0
            while match := _BEGIN.match(text, at):
                try:
                    value, at = decoder.raw_decode(text, match.end() - 1)
                except ValueError:
                    break
                yield value
            text = text[at:]
            if len(text) > VALUE_CHARS_MAX:
                break
        if text.strip() and not self._closed.is_set():
            raise EngineUnavailable("the engine's answer broke off")

    def close(self) -> None:
        self._closed.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)


def kind_of(headers: Mapping[str, str]) -> Kind:
    """Read who answers out of the headers that every engine greets with: `Server: Libpod/4.3.1 (linux)`."""
    name, _, version = headers.get("Server", "").partition(" ")[0].partition("/")
    api = headers.get("Api-Version", API_MIN)
    if name == "Libpod" or "Libpod-Api-Version" in headers:
        if version and int(version.partition(".")[0]) < PODMAN_MIN:
            raise EngineRefused("engine_too_old", f"Podman {version} is too old: {PODMAN_MIN}.0 or newer is needed")
        return Kind("podman", version, api)
    if older(api, API_MIN):
        raise EngineRefused("engine_too_old", f"the engine's API {api} is too old: {API_MIN} or newer is needed")
    return Kind("docker", version, api)


def _explanation(error: APIError) -> str:
    return str(error.explanation or error)
