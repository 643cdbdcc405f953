"""What an engine's own pull does on a link that is cut: begun again whenever it fails, until a limit is reached."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

import docker
from docker.auth import encode_header
from docker.errors import DockerException

from device.engine.connection import Stream, libpod_url
from device.engine.port import EngineUnavailable
from tests.chaos.rig.crossing import BYTES_PER_S, Crossing, Cuts, Into
from tests.harness.cutting_proxy import CuttingProxy
from tests.harness.engine import docker_client, remove_images
from tests.harness.images import BuiltImage

SILENCE_S = 120.0
FAILED_PAUSE_S = 0.2  # as our own worker waits in these stories


class BarePull:
    """Pulls on one engine, one after the other. `kill` ends the one under way, as a killed client does."""

    def __init__(self, into: Into, *, is_enough: Callable[[], bool]) -> None:
        self._into = into
        self._is_enough = is_enough
        self._lock = threading.Lock()
        self._stream: Stream | None = None
        self.kills = 0

    def kill(self) -> bool:
        """Return whether there was one."""
        with self._lock:
            stream, self._stream = self._stream, None
            if stream is None:
                return False
            stream.close()
            self.kills += 1
            return True

    def try_once(self, name: str, digest: str) -> bool:
        """Return whether the engine has the image now."""
        client = docker.APIClient(self._into.url, version="1.41", timeout=SILENCE_S)
        try:
            stream = Stream(client, self._ask(client, name, digest))
            with self._lock:
                self._stream = stream
            for event in stream.values():
                if "error" in event or self._is_enough():
                    return False
            return bool(client.inspect_image(f"{name}@{digest}"))
        except (DockerException, EngineUnavailable, OSError, ValueError):
            return False  # the client was killed; so is the engine's pull, and what it had of layers
        finally:
            with self._lock:
                if self._stream is not None:
                    self._stream.close()
                    self._stream = None
            client.close()

    def _ask(self, client: docker.APIClient, name: str, digest: str) -> object:
        if self._into.name == "docker":
            headers = {"X-Registry-Auth": encode_header({"registrytoken": "none"})}
            params = {"fromImage": name, "tag": digest}
            return client._post(client._url("/images/create"), params=params, headers=headers, stream=True)
        params = {"reference": f"{name}@{digest}", "tlsVerify": "false"}
        return client._post(libpod_url(client, "/images/pull"), params=params, stream=True)


def by_engine(
    image: BuiltImage,
    address: str,
    cuts: Cuts,
    *,
    into: Into,
    times_max: float,
    seconds_max: float,
) -> Crossing:
    """Fetch an image by the engine's own pull; where the worker is killed in its story, the engine's client is here."""
    size = sum(len(blob) for blob in image.blobs.values())
    began = time.monotonic()

    def is_enough() -> bool:
        return proxy.down_bytes > times_max * size or time.monotonic() - began > seconds_max

    pull = BarePull(into, is_enough=is_enough)

    def at_cut(number: int) -> None:
        if is_enough() or (cuts.kill_each and number % cuts.kill_each == 0):
            pull.kill()

    proxy = CuttingProxy(int(address.rpartition(":")[2]), bytes_per_s=BYTES_PER_S, next_cut=cuts.next, at_cut=at_cut)
    name = f"127.0.0.1:{proxy.port}/{image.repository}"
    tries, arrived = 0, False
    try:
        while not arrived and not is_enough():
            if tries:
                threading.Event().wait(FAILED_PAUSE_S)
            tries += 1
            arrived = pull.try_once(name, image.digest)
    finally:
        proxy.close()
        client = docker_client(into.url)
        with contextlib.suppress(DockerException):
            remove_images(client, f"127.0.0.1:{proxy.port}")
        client.close()
    took = round(time.monotonic() - began, 1)
    who = f"{into.name} pull, {tries} times"
    return Crossing(who, arrived, size, proxy.down_bytes, proxy.cuts, pull.kills, 0, took)
