"""Docker through docker-py's low-level client: list calls for the snapshot, one call for a step, errors translated."""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Literal

import docker
import requests
from docker.errors import APIError, DockerException, ImageNotFound, InvalidArgument, NotFound

from broker.appspec import Healthcheck, Hook, Restart
from device.engine import host_folders, labels
from device.engine.api_versions import unknown_to
from device.engine.docker_spec import (
    archive,
    container_options,
    endpoint_options,
    healthcheck_of,
    host_options,
    ipam,
    with_later_endpoint_options,
    with_later_host_options,
    with_later_options,
)
from device.engine.frames import frames
from device.engine.port import (
    Container,
    Details,
    EngineInfo,
    EngineRefused,
    EngineUnavailable,
    HookResult,
    LogLine,
    NetworkSeen,
    Observed,
    Progress,
    State,
    WantedContainer,
    WantedNetwork,
    WantedVolume,
)

TIMEOUT_S = 60
STOP_MARGIN_S = 30
IMAGE_CHECKS_MAX = 1000
HOOK_OUTPUT_CHARS = 4096  # for a person to see why it failed
HOOK_BYTES = 64 * 1024  # the rest is read and dropped: a command that cannot write would never end
UNFINISHED = ".making"  # ends the name of a container that took more than one call, until the last of them
_EXIT = re.compile(r"\((\d+)\)")
_STATES: dict[str, State] = {
    "created": "created",
    "running": "running",
    "paused": "running",
    "restarting": "restarting",
    "removing": "exited",
    "exited": "exited",
    "dead": "exited",
    "stopped": "exited",
}


class DockerEngine:
    """An `Engine` over a Docker socket, seeing only what carries the label of one device."""

    def __init__(self, *, device: str, url: str | None = None) -> None:
        self._device = device
        self._mine = {"label": f"{labels.DEVICE}={device}"}
        self._image_checks: dict[str, Healthcheck | None] = {}  # an image is told by digest: what it says never changes
        self._url = url or os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
        self._client: docker.APIClient | None = None
        self._events: _EventWatch | None = None
        self._lock = threading.Lock()
        self._streams: set[Any] = set()
        self._closed = threading.Event()

    def info(self) -> EngineInfo:
        with _translated():
            client = self._api()
            version, info = client.version(), client.info()
            return EngineInfo(
                name="docker",
                version=str(version.get("Version", "")),
                api=str(version.get("ApiVersion", "")),
                arch=str(version.get("Arch", "")),
                os=str(version.get("Os", "")),
                kernel=str(version.get("KernelVersion", "")),
                cpus=int(info.get("NCPU", 0)),
                memory_bytes=int(info.get("MemTotal", 0)),
            )

    def observe(self) -> Observed:
        containers = self.containers()
        networks, volumes = self.resources()
        return Observed(containers, networks, volumes)

    def containers(self) -> tuple[Container, ...]:
        with _translated():
            return tuple(_container(item) for item in self._api().containers(all=True, filters=self._mine))

    def resources(self) -> tuple[tuple[NetworkSeen, ...], frozenset[str]]:
        with _translated():
            client = self._api()
            networks = client.networks(filters=self._mine)
            volumes = client.volumes(filters=self._mine).get("Volumes") or []
        return tuple(_network(item) for item in networks), frozenset(str(item["Name"]) for item in volumes)

    def details(self, container_id: str) -> Details:
        with _translated():
            return _details(self._api().inspect_container(container_id))

    def has_image(self, image: str) -> bool:
        try:
            with _translated(passing=(NotFound,)):
                self._api().inspect_image(image)
        except NotFound:
            return False
        return True

    def pull(self, image: str, *, token: str, progress: Progress) -> None:
        repository, _, digest = image.partition("@")
        layers: dict[str, tuple[int, int]] = {}
        with _translated():
            stream = self._api().pull(
                repository, tag=digest, stream=True, decode=True, auth_config={"registrytoken": token}
            )
            for event in stream:
                if "error" in event:
                    raise EngineRefused("pull_failed", f"cannot pull {image}: {event['error']}")
                detail = event.get("progressDetail") or {}
                if event.get("status") == "Downloading" and detail.get("total"):
                    layers[str(event.get("id"))] = (int(detail["current"]), int(detail["total"]))
                progress(sum(done for done, _ in layers.values()), sum(total for _, total in layers.values()))

    def create_network(self, network: WantedNetwork) -> None:
        with _translated():
            self._api().create_network(
                network.name,
                driver=network.driver,
                internal=network.internal,
                labels=dict(network.labels),
                options=dict(network.options) or None,
                ipam=ipam(network),
                enable_ipv6=network.enable_ipv6,
                check_duplicate=True,
            )

    def remove_network(self, network: NetworkSeen) -> None:
        with _translated(), contextlib.suppress(NotFound):
            self._api().remove_network(network.id)

    def create_volume(self, volume: WantedVolume) -> None:
        host_folders.check_volume(volume)
        with _translated():
            self._api().create_volume(
                volume.name, driver="local", driver_opts=dict(volume.options) or None, labels=dict(volume.labels)
            )

    def create(self, container: WantedContainer) -> None:
        with _translated():
            client = self._api()
            unknown = unknown_to(container, client.api_version)
            if unknown:
                raise EngineRefused("engine_too_old", f"API {client.api_version} does not know {'; '.join(unknown)}")
            host_folders.prepare(container)
            others = list(container.networks)[1:]
            if not others and not container.files:
                client.create_container_from_config(self._config(container), container.name)
                return
            # Killed between these calls, or refused at one of them, it must not be taken for what is wanted.
            created = client.create_container_from_config(self._config(container), container.name + UNFINISHED)["Id"]
            with contextlib.ExitStack() as undoing:
                undoing.callback(self._discard, created)
                for network in others:
                    self._connect(created, container, network)
                if container.files:
                    client.put_archive(created, "/", archive(container.files))
                client.rename(created, container.name)
                undoing.pop_all()

    def _config(self, container: WantedContainer) -> Any:
        client = self._api()
        first = next(iter(container.networks), "")
        networking = None
        if first:
            networking = client.create_networking_config({first: self._endpoint(container, first)})
        host = client.create_host_config(**host_options(container))
        config = client.create_container_config(
            **({"command": None} | container_options(container)),
            host_config=with_later_host_options(host, container),
            networking_config=networking,
        )
        return with_later_options(config, container, client.api_version)

    def _endpoint(self, container: WantedContainer, network: str) -> Any:
        endpoint = self._api().create_endpoint_config(**endpoint_options(container, network))
        return with_later_endpoint_options(endpoint, container, network)

    def _connect(self, container_id: str, container: WantedContainer, network: str) -> None:
        """Join another network. docker-py's own call cannot say everything that `_endpoint` does."""
        client = self._api()
        data = {"Container": container_id, "EndpointConfig": self._endpoint(container, network)}
        client._raise_for_status(client._post_json(client._url("/networks/{0}/connect", network), data=data))

    def _discard(self, container_id: str) -> None:
        with contextlib.suppress(DockerException, requests.RequestException):
            self._api().remove_container(container_id, force=True, v=True)

    def start(self, container_id: str) -> None:
        with _translated():
            self._api().start(container_id)

    def rename(self, container_id: str, name: str) -> None:
        with _translated():
            self._api().rename(container_id, name)

    def stop(self, container_id: str, *, grace_s: int) -> None:
        with _translated(), contextlib.suppress(NotFound):
            self._api(timeout_s=grace_s + STOP_MARGIN_S).stop(container_id, timeout=grace_s)

    def remove(self, container_id: str) -> None:
        with _translated(), contextlib.suppress(NotFound):
            self._api().remove_container(container_id, force=True, v=False)

    def run_hook(self, container_id: str, hook: Hook, *, timeout_s: float) -> HookResult:
        with _translated():
            client = self._api()
            made = client.exec_create(
                container_id,
                list(hook.command),
                user=hook.user,
                privileged=hook.privileged,
                workdir=hook.working_dir or None,
                environment=dict(hook.environment) or None,
            )
            output = _read_exec(client.exec_start(made["Id"], socket=True), timeout_s)
            if output is None:
                raise EngineRefused("hook_timeout", f"{' '.join(hook.command)} has not ended after {timeout_s:.0f} s")
            return HookResult(int(client.exec_inspect(made["Id"])["ExitCode"] or 0), output)

    def set_restart(self, container_id: str, restart: Restart) -> None:
        with _translated():
            self._api().update_container(
                container_id, restart_policy={"Name": restart.policy, "MaximumRetryCount": restart.retries}
            )

    def image_healthcheck(self, image: str) -> Healthcheck | None:
        if image not in self._image_checks:
            with _translated():
                config = self._api().inspect_image(image).get("Config") or {}
            if len(self._image_checks) >= IMAGE_CHECKS_MAX:
                self._image_checks.clear()
            try:
                self._image_checks[image] = healthcheck_of(config.get("Healthcheck"))
            except ValueError as error:
                raise EngineRefused(
                    "bad_healthcheck", f"the health check of {image} makes no sense: {error}"
                ) from error
        return self._image_checks[image]

    def remove_image(self, image: str) -> None:
        with _translated(), contextlib.suppress(NotFound):
            self._api().remove_image(image)

    def remove_volume(self, name: str) -> None:
        with _translated(), contextlib.suppress(NotFound):
            self._api().remove_volume(name)

    def bridge_of(self, network: str) -> str | None:
        try:
            with _translated(passing=(NotFound,)):
                attributes = self._api().inspect_network(network)
        except NotFound:
            return None
        name = (attributes.get("Options") or {}).get("com.docker.network.bridge.name")
        return str(name) if name else f"br-{attributes['Id'][:12]}"

    def wait_for_event(self, timeout_s: float) -> bool:
        if self._events is None:
            with _translated():
                self._events = _EventWatch(self._new_client(timeout_s=None), self._device)
        try:
            return self._events.wait(timeout_s)
        except EngineUnavailable:
            self._events = None
            raise

    def follow_logs(self, container_id: str, *, since_ns: int) -> Iterator[LogLine]:
        with _translated():
            client = self._new_client(timeout_s=None)
            stream = client.logs(
                container_id,
                stream=True,
                follow=True,
                timestamps=True,
                since=_since(since_ns),
                stdout=True,
                stderr=True,
            )
            with self._lock:
                self._streams.add(stream)
            try:
                pending = b""
                for chunk in stream:
                    pending += chunk
                    *lines, pending = pending.split(b"\n")
                    for raw in lines:
                        if (parsed := _log_line(raw)) is not None and parsed.at_ns > since_ns:
                            yield parsed
            finally:
                with self._lock:
                    self._streams.discard(stream)
                client.close()

    def last_lines(self, container_id: str, count: int) -> list[str]:
        with _translated(), contextlib.suppress(NotFound):
            text: bytes = self._api().logs(container_id, tail=count, stdout=True, stderr=True)
            return text.decode(errors="replace").splitlines()
        return []

    def close(self) -> None:
        self._closed.set()
        if self._events is not None:
            self._events.close()
        with self._lock:
            streams = list(self._streams)
            client, self._client = self._client, None
        for stream in streams:
            with contextlib.suppress(DockerException, OSError):
                stream.close()
        if client is not None:
            client.close()

    def _api(self, timeout_s: int = TIMEOUT_S) -> docker.APIClient:
        with self._lock:
            if self._client is None:
                self._client = self._new_client(timeout_s=timeout_s)
            self._client.timeout = max(timeout_s, TIMEOUT_S)
            return self._client

    def _new_client(self, *, timeout_s: int | None) -> docker.APIClient:
        client = docker.APIClient(base_url=self._url, version="auto", timeout=timeout_s or TIMEOUT_S)
        client.trust_env = False  # a proxy of the environment has no business on a unix socket, and asking costs 0.3 ms
        if timeout_s is None:
            client.timeout = None
        return client


class _EventWatch:
    """One open event stream, read by its own thread, that remembers whether anything came."""

    def __init__(self, client: docker.APIClient, device: str) -> None:
        self._client = client
        self._came = threading.Event()
        self._ended = threading.Event()
        self._stream = client.events(
            decode=True, filters={"label": f"{labels.DEVICE}={device}", "type": ["container", "network", "volume"]}
        )
        self._thread = threading.Thread(target=self._read, name="engine-events", daemon=True)
        self._thread.start()

    def wait(self, timeout_s: float) -> bool:
        came = self._came.wait(timeout_s)
        self._came.clear()
        if self._ended.is_set():
            raise EngineUnavailable("the engine's event stream ended")
        return came

    def close(self) -> None:
        self._ended.set()
        self._came.set()
        with contextlib.suppress(DockerException, OSError):
            self._stream.close()
        self._thread.join(5.0)

    def _read(self) -> None:
        with contextlib.suppress(DockerException, requests.RequestException, OSError, ValueError):
            for event in self._stream:
                if not str(event.get("Action", "")).startswith("exec_"):  # health probes are no news by themselves
                    self._came.set()
        self._ended.set()
        self._came.set()
        self._client.close()


@contextlib.contextmanager
def _translated(passing: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    try:
        yield
    except (*passing, InvalidArgument):  # an argument that docker-py refuses is a bug of ours: let it rise
        raise
    except (NotFound, ImageNotFound) as error:
        raise EngineRefused("not_found", str(error.explanation or error)) from error
    except APIError as error:
        explanation = str(error.explanation or error)
        if error.is_server_error() and "unauthorized" not in explanation:
            raise EngineRefused("engine_error", explanation) from error
        raise EngineRefused("engine_refused", explanation) from error
    except (DockerException, requests.RequestException, OSError) as error:
        raise EngineUnavailable(f"no answer from the engine: {error}") from error


def _container(item: dict[str, Any]) -> Container:
    marks = item.get("Labels") or {}
    status = str(item.get("Status", ""))
    state = _STATES.get(str(item.get("State", "")).lower(), "exited")
    exit_match = _EXIT.search(status) if state in ("exited", "restarting") else None
    names = item.get("Names") or [""]
    name = str(names[0]).lstrip("/")
    return Container(
        id=str(item["Id"]),
        name=name,
        instance=str(marks.get(labels.INSTANCE, "")),
        service=str(marks.get(labels.SERVICE, "")),
        hash="" if name.endswith(UNFINISHED) else str(marks.get(labels.HASH, "")),
        state=state,
        health=_health(status) if state == "running" else "none",
        exit_code=int(exit_match[1]) if exit_match else None,
        image=str(item.get("Image", "")),
        release=str(marks.get(labels.RELEASE, "")),
        index=int(marks.get(labels.INDEX, "1")),
        restart=str(marks.get(labels.RESTART, "")),
        joined=str(marks.get(labels.JOINED, "")),
    )


def _details(found: dict[str, Any]) -> Details:
    state = found["State"]
    started = _at_ns(str(state.get("StartedAt", "")))
    ended = state.get("Status") not in ("created", "running", "paused")
    return Details(
        started_at_ms=started // 1_000_000 if started is not None and started > 0 else None,
        restarts=int(found.get("RestartCount") or 0),
        oom_killed=bool(state.get("OOMKilled")),
        exit_code=int(state["ExitCode"]) if ended else None,
    )


def _health(status: str) -> Literal["none", "starting", "healthy", "unhealthy"]:
    """Read the health out of the list's status text: an inspect for each container would cost eight calls more."""
    if "(healthy)" in status:
        return "healthy"
    if "(unhealthy)" in status:
        return "unhealthy"
    return "starting" if "(health: starting)" in status else "none"


def _network(item: dict[str, Any]) -> NetworkSeen:
    marks = item.get("Labels") or {}
    return NetworkSeen(
        id=str(item["Id"]),
        name=str(item["Name"]),
        instance=str(marks.get(labels.INSTANCE, "")),
        hash=str(marks.get(labels.HASH, "")),
    )


def _since(since_ns: int) -> float | None:
    """Return docker-py's `since`: a float cannot hold nanoseconds, so begin a little early and filter."""
    return max(since_ns - 1_000_000, 1) / 1e9 if since_ns > 0 else None


def _log_line(raw: bytes) -> LogLine | None:
    stamp, _, text = raw.decode(errors="replace").partition(" ")
    at_ns = _at_ns(stamp)
    return None if at_ns is None else LogLine(at_ns=at_ns, stream="out", text=text.rstrip("\r"))


def _at_ns(stamp: str) -> int | None:
    """Return the nanoseconds since 1970 of a time stamp with up to nine digits of a second; negative: never."""
    try:
        whole, _, fraction = stamp.rstrip("Z").partition(".")
        at = datetime.fromisoformat(whole).replace(tzinfo=UTC)
    except ValueError:
        return None
    return int(at.timestamp()) * 1_000_000_000 + int(fraction[:9].ljust(9, "0") or 0)


def _read_exec(stream: Any, timeout_s: float) -> str | None:
    """Read what a command writes until it ends; None when it has not by then."""
    deadline = time.monotonic() + timeout_s
    kept = bytearray()
    link = getattr(stream, "_sock", stream)
    try:
        while (left_s := deadline - time.monotonic()) > 0:
            link.settimeout(left_s)
            chunk = link.recv(16 * 1024)
            if not chunk:
                return b"".join(data for _, data in frames(bytes(kept))).decode(errors="replace")[:HOOK_OUTPUT_CHARS]
            kept += chunk[: max(0, HOOK_BYTES - len(kept))]
    except TimeoutError:
        pass
    finally:
        link.close()
    return None
