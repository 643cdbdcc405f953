"""Images of an engine: whether they are there, fetching them, and the health check they bring along."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from docker.auth import encode_header

from broker.appspec import Healthcheck
from broker.enrollment import REGISTRY_TOKEN_USER
from device.engine.connection import FOREIGN, Connection, Stream, libpod_url
from device.engine.docker_spec import healthcheck_of
from device.engine.port import EngineRefused, EngineUnavailable, Progress, PullStalled
from device.engine.pulling import Pulling

TICK_S = 1.0  # how long a pull that is not wanted any more goes on at most
EVENTS_WAITING = 256  # beyond that the engine waits for us
CHECKS_MAX = 1000
SAVED_CHUNK = 256 * 1024
SAVE_SILENCE_S = 600.0  # Docker writes the whole archive to its own disk first
LOOPBACK = ("127.", "localhost", "[::1]")


class Images:
    def __init__(self, connection: Connection, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._connection = connection
        self._monotonic = monotonic
        self._checks: dict[str, Healthcheck | None] = {}  # an image is told by digest: what it says never changes

    def has(self, image: str) -> bool:
        try:
            with self._connection.reading():
                self._connection.client().inspect_image(image)
        except EngineRefused as error:
            if error.reason == "not_found":
                return False
            raise
        return True

    def check(self, image: str) -> Healthcheck | None:
        """Return the health check that is part of an image."""
        if image not in self._checks:
            found = self._inspected_check(image)
            if len(self._checks) >= CHECKS_MAX:
                self._checks.clear()
            try:
                self._checks[image] = healthcheck_of(found)
            except ValueError as error:
                raise EngineRefused(
                    "bad_healthcheck", f"the health check of {image} makes no sense: {error}"
                ) from error
        return self._checks[image]

    def _inspected_check(self, image: str) -> dict[str, Any] | None:
        with self._connection.reading():
            if self._connection.kind.name == "podman":  # which leaves it out of what Docker's API shows
                found = self._connection.libpod("GET", f"/images/{image}/json").json()
            else:
                found = self._connection.client().inspect_image(image).get("Config") or {}
        check: dict[str, Any] | None = found.get("HealthCheck") or found.get("Healthcheck")
        return check

    def pull(self, image: str, *, token: str, progress: Progress) -> None:
        try:
            with self._connection.acting():
                client = self._connection.new_client()
                try:
                    self._follow(Stream(client, self._ask(client, image, token)), image, progress)
                finally:
                    client.close()
        except EngineRefused as error:
            raise EngineRefused("pull_failed", f"cannot pull {image}: {error}") from error
        if not self.has(image):
            raise EngineRefused("pull_failed", f"cannot pull {image}: it is not there after the engine said so")

    def save(self, image: str) -> Iterator[bytes]:
        """Yield an image as `docker save` writes it."""
        with self._connection.acting():
            client = self._connection.new_client()
            client.timeout = SAVE_SILENCE_S
            try:
                yield from client.get_image(image, chunk_size=SAVED_CHUNK)
            finally:
                client.close()

    def _ask(self, client: Any, image: str, token: str) -> Any:
        if self._connection.kind.name == "podman":
            # Its form of Docker's call takes neither a registry without TLS nor a bearer token, so the token goes as a
            # password: the cloud's token endpoint knows it and gives it back.
            params = {"reference": image}
            if image.startswith(LOOPBACK):
                params["tlsVerify"] = "false"  # as Docker has it: nobody else can listen there
            headers = (
                {"X-Registry-Auth": encode_header({"username": REGISTRY_TOKEN_USER, "password": token})}
                if token
                else {}
            )
            return client._post(libpod_url(client, "/images/pull"), params=params, headers=headers, stream=True)
        repository, _, digest = image.partition("@")
        return client._post(
            client._url("/images/create"),
            params={"fromImage": repository, "tag": digest},
            headers={"X-Registry-Auth": encode_header({"registrytoken": token})},
            stream=True,
        )

    def _follow(self, stream: Stream, image: str, progress: Progress) -> None:
        """Watch a pull to its end. However this is left, the connection is closed and the engine gives up with it."""
        feed = _Feed(stream)
        pulling = Pulling(self._connection.kind.name, began_at=self._monotonic())
        try:
            while True:
                event = feed.get(TICK_S)
                if event is _END:
                    return
                if isinstance(event, dict):
                    if "error" in event:
                        raise EngineRefused("pull_failed", str(event["error"]))
                    pulling.hear(event, now=self._monotonic())
                progress(pulling.done, pulling.total)
                if pulling.is_stalled(self._monotonic()):
                    raise PullStalled(f"nothing has come of {image} for {pulling.patience_s:.0f} s")
        finally:
            feed.close()


_END = object()


class _Feed:
    """Reads a stream's values on a thread of its own, so that whoever takes them can also do without for a while."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._queue: queue.Queue[object] = queue.Queue(EVENTS_WAITING)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._read, name="image-pull", daemon=True)
        self._thread.start()

    def get(self, timeout_s: float) -> object:
        """Return a value, None when there was none in time, or `_END`; raise what reading raised."""
        try:
            value = self._queue.get(timeout=timeout_s)
        except queue.Empty:
            return None
        if isinstance(value, Exception):
            raise value
        return value

    def close(self) -> None:
        self._closed.set()
        self._stream.close()
        self._thread.join(5.0)

    def _read(self) -> None:
        last: object = _END
        try:
            for value in self._stream.values():
                self._put(value)
        except (*FOREIGN, EngineUnavailable) as error:
            last = error
        self._put(last)

    def _put(self, value: object) -> None:
        while not self._closed.is_set():
            try:
                self._queue.put(value, timeout=TICK_S)
            except queue.Full:
                continue
            return
