"""Docker, and Podman behind the same API: list calls for the snapshot, one call for a step, errors translated."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from docker import utils
from docker.errors import DockerException

from broker.appspec import Healthcheck, Hook, Restart
from broker.engine_limits import keys_left_out
from device.engine import host_folders, labels, listing, podman, podman_spec
from device.engine.connection import FOREIGN, Connection
from device.engine.docker_spec import (
    container_options,
    endpoint_options,
    host_options,
    ipam,
    with_later_endpoint_options,
    with_later_host_options,
    with_later_options,
)
from device.engine.events import EventWatch
from device.engine.hooks import run_hook
from device.engine.host_files import HostFiles
from device.engine.images import Images
from device.engine.limits import left_out, network_left_out
from device.engine.listing import UNFINISHED
from device.engine.logs import Logs
from device.engine.minder import Minder
from device.engine.port import (
    CANNOT,
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
    Usage,
    WantedContainer,
    WantedNetwork,
    WantedVolume,
)
from device.engine.secret_files import Secrets, secret_files

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm"}  # Docker's words; Podman has the others

ONE_SHOT_API = "1.41"  # before it the engine waits a second for a second look, of which nothing is used here


class DockerEngine:
    """An `Engine` over a socket, seeing only what carries the label of one device."""

    def __init__(
        self,
        *,
        device: str,
        url: str | None = None,
        files: Path | None = None,
        secrets: Secrets | None = None,
        died: Callable[[str, int | None], None] = lambda container_id, exit_code: None,
    ) -> None:
        """`files` is where the configs of containers lie; without it, or `secrets`, none with such can be made.

        `died` is told of each container that ends, by the engine's own word and on the thread that reads its events:
        Docker frees a container's networks, a tenth of a second, before its lists show that it has ended.
        """
        self._device = device
        self._died = died
        self.files = HostFiles(files, in_use=self._hashes)
        self.secret_files = secret_files(secrets, in_use=self._hashes)
        self._mine = {"label": f"{labels.DEVICE}={device}"}
        self._connection = Connection(url)
        self._images = Images(self._connection)
        self._logs = Logs(self._connection)
        self._minder = Minder(self._connection, changed=self._poke)
        self._lock = threading.Lock()
        self._events: EventWatch | None = None
        self._closed = False

    @property
    def address(self) -> str:
        """Where the engine is looked for, whether it answers or not."""
        return self._connection.url

    @property
    def _is_podman(self) -> bool:
        return self._connection.kind.name == "podman"

    # --- what there is

    def info(self) -> EngineInfo:
        with self._connection.reading():
            kind = self._connection.kind
            info = self._connection.client().info()
        return EngineInfo(
            name=kind.name,
            version=kind.version,
            api=kind.api,
            arch=_ARCHITECTURES.get(str(info.get("Architecture")), str(info.get("Architecture", ""))),
            os=str(info.get("OSType", "")),
            kernel=str(info.get("KernelVersion", "")),
            cpus=int(info.get("NCPU", 0)),
            memory_bytes=int(info.get("MemTotal", 0)),
            address=self._connection.url,
            cannot=keys_left_out(kind.name, kind.api),
        )

    def observe(self) -> Observed:
        containers = self.containers()
        networks, volumes = self.resources()
        return Observed(containers, networks, volumes)

    def containers(self) -> tuple[Container, ...]:
        with self._connection.reading():
            items = self._connection.containers(self._mine)
            seen = tuple(listing.container(item) for item in items)
            return self._minder.overlay(seen) if self._is_podman else seen

    def resources(self) -> tuple[tuple[NetworkSeen, ...], frozenset[str]]:
        with self._connection.reading():
            client = self._connection.client()
            networks = client.networks(filters=self._mine)
            volumes = client.volumes(filters=self._mine).get("Volumes") or []
        return tuple(listing.network(item) for item in networks), frozenset(str(item["Name"]) for item in volumes)

    def details(self, container_id: str) -> Details:
        with self._connection.reading():
            told = listing.details(self._connection.client().inspect_container(container_id))
        if self._is_podman:  # the list with what is minded is the better word
            return replace(self._minder.completed(container_id, told), state=None)
        return told

    def bridge_of(self, network: str) -> str | None:
        try:
            with self._connection.reading():
                if self._is_podman:
                    return podman.bridge_of(self._connection, network)
                found = self._connection.client().inspect_network(network)
        except EngineRefused as error:
            if error.reason == "not_found":
                return None
            raise
        name = (found.get("Options") or {}).get(podman_spec.BRIDGE_NAME)
        return str(name) if name else f"br-{found['Id'][:12]}"

    # --- images

    def has_image(self, image: str) -> bool:
        return self._images.has(image)

    def pull(self, image: str, *, token: str, progress: Progress) -> None:
        self._images.pull(image, token=token, progress=progress)

    def save(self, image: str) -> Iterator[bytes]:
        return self._images.save(image)

    def image_healthcheck(self, image: str) -> Healthcheck | None:
        return self._images.check(image)

    def remove_image(self, image: str) -> None:
        with self._connection.acting(), _absent_is_fine():
            self._connection.client().remove_image(image)

    # --- networks and volumes

    def create_network(self, network: WantedNetwork) -> None:
        with self._connection.acting():
            options = dict(network.options)
            if self._is_podman:
                options = podman_spec.network_options(network)
            self._refuse(network_left_out(network, self._connection.kind.name))
            self._connection.client().create_network(
                network.name,
                driver=network.driver,
                internal=network.internal,
                labels=dict(network.labels),
                options=options or None,
                ipam=ipam(network),
                enable_ipv6=network.enable_ipv6,
                check_duplicate=True,
            )

    def remove_network(self, network: NetworkSeen) -> None:
        with self._connection.acting(), _absent_is_fine():
            if self._is_podman:
                podman.check_unused(self._connection, network.name)
            self._connection.client().remove_network(network.id)

    def create_volume(self, volume: WantedVolume) -> None:
        host_folders.check_volume(volume)
        with self._connection.acting():
            self._connection.client().create_volume(
                volume.name, driver="local", driver_opts=dict(volume.options) or None, labels=dict(volume.labels)
            )

    def remove_volume(self, name: str) -> None:
        with self._connection.acting(), _absent_is_fine():
            self._connection.client().remove_volume(name)

    # --- containers

    def create(self, container: WantedContainer) -> None:
        with self._connection.acting():
            client, kind = self._connection.client(), self._connection.kind
            self._refuse(left_out(container, kind.name, kind.api))
            host_folders.prepare(container)
            with self.files.placed(container) as with_configs, self.secret_files.placed(with_configs) as placed:
                config = self._config(placed)
                others = list(container.networks)[1:]
                if not others:
                    client.create_container_from_config(config, container.name)
                    return
                # Killed between these calls, or refused at one of them, it must not be taken for what is wanted.
                created = client.create_container_from_config(config, container.name + UNFINISHED)["Id"]
                with contextlib.ExitStack() as undoing:
                    undoing.callback(self._discard, created)
                    for network in others:
                        self._connect(created, container, network)
                    client.rename(created, container.name)
                    undoing.pop_all()

    def _hashes(self) -> frozenset[str]:
        """Return the hashes of all containers of ours, unfinished ones too."""
        found = self._connection.client().containers(all=True, filters=self._mine)
        return frozenset(str((item.get("Labels") or {}).get(labels.HASH, "")) for item in found)

    def _refuse(self, keys: list[str]) -> None:
        if keys:
            kind = self._connection.kind
            raise EngineRefused(CANNOT, f"{kind.name} {kind.version} does not carry out {'; '.join(keys)}")

    def _config(self, container: WantedContainer) -> dict[str, Any]:
        client = self._connection.client()
        first = next(iter(container.networks), "")
        networking = None
        if first:
            networking = client.create_networking_config({first: self._endpoint(container, first)})
        options = host_options(container) | (podman_spec.mounts(container) if self._is_podman else {})
        host = client.create_host_config(**options)
        made: dict[str, Any] = client.create_container_config(
            **({"command": None} | container_options(container)),
            host_config=with_later_host_options(host, container),
            networking_config=networking,
        )
        made = with_later_options(made, container, client.api_version)
        return podman_spec.adapted(made, container, self._whole_check(container)) if self._is_podman else made

    def _whole_check(self, container: WantedContainer) -> Healthcheck | None:
        """Return the service's health check; its command may be the image's."""
        check = container.spec.healthcheck
        if check is None or check.test:
            return check
        inherited = self.image_healthcheck(container.image)
        return None if inherited is None else check.model_copy(update={"test": inherited.test})

    def _endpoint(self, container: WantedContainer, network: str) -> Any:
        endpoint = self._connection.client().create_endpoint_config(**endpoint_options(container, network))
        return with_later_endpoint_options(endpoint, container, network)

    def _connect(self, container_id: str, container: WantedContainer, network: str) -> None:
        """Join another network. docker-py's own call cannot say everything that `_endpoint` does."""
        client = self._connection.client()
        data = {"Container": container_id, "EndpointConfig": self._endpoint(container, network)}
        client._raise_for_status(client._post_json(client._url("/networks/{0}/connect", network), data=data))

    def _discard(self, container_id: str) -> None:
        with contextlib.suppress(*FOREIGN):
            self._connection.client().remove_container(container_id, force=True, v=True)

    def lay_ready(self, container: WantedContainer) -> None:
        with self._connection.acting():
            self.secret_files.lay_ready(container)

    def start(self, container_id: str) -> None:
        with self._connection.acting():
            if self._is_podman:
                self._minder.release(container_id)
                self._watch()
            self._connection.client().start(container_id)
            if self._is_podman:
                podman.pin_bridges(self._connection, container_id)

    def rename(self, container_id: str, name: str) -> None:
        with self._connection.acting():
            self._connection.client().rename(container_id, name)

    def stop(self, container_id: str, *, grace_s: int) -> None:
        with self._connection.acting(), _absent_is_fine():
            self._minder.release(container_id)
            if self._is_podman:
                podman.stop(self._connection, container_id, grace_s=grace_s)
            else:
                self._connection.stop(container_id, grace_s=grace_s)

    def remove(self, container_id: str) -> None:
        with self._connection.acting(), _absent_is_fine():
            self._minder.release(container_id)
            if self._is_podman:
                podman.remove(self._connection, container_id, mine=self._mine)
            else:
                self._connection.client().remove_container(container_id, force=True, v=False)
            self.files.forget()
            self.secret_files.forget()

    def run_hook(self, container_id: str, hook: Hook, *, timeout_s: float) -> HookResult:
        return run_hook(self._connection, container_id, hook, timeout_s=timeout_s)

    def set_restart(self, container_id: str, restart: Restart) -> None:
        with self._connection.acting():
            if self._is_podman:
                raise EngineRefused("not_supported", "Podman cannot change the restart policy of a container")
            self._connection.client().update_container(
                container_id, restart_policy={"Name": restart.policy, "MaximumRetryCount": restart.retries}
            )

    # --- waiting

    def wait_for_event(self, timeout_s: float) -> bool:
        with self._connection.reading():
            watch = self._watch()
        try:
            return watch.wait(timeout_s)
        except EngineUnavailable:
            with self._lock:
                self._events = None
            raise

    def _watch(self) -> EventWatch:
        """Return the open event stream; a new one, and everything in doubt, after one that ended."""
        with self._lock:
            if self._events is None:
                if self._closed:
                    raise EngineUnavailable("this engine is closed")
                is_podman = self._is_podman
                self._events = EventWatch(self._connection, self._device, self._heard)
                if is_podman:
                    self._minder.start()
                    self._minder.doubt_all()
            return self._events

    def _heard(self, event: dict[str, Any]) -> bool:
        death = listing.death(event)
        if death is not None:
            self._died(*death)
        return not self._is_podman or self._minder.heard(event)

    def _poke(self) -> None:
        events = self._events
        if events is not None:
            events.poke()

    def follow_logs(self, container_id: str, *, since_ns: int) -> Iterator[LogLine]:
        return self._logs.follow(container_id, since_ns=since_ns)

    def last_lines(self, container_id: str, count: int) -> list[str]:
        return self._logs.last_lines(container_id, count)

    def usage(self, container_id: str) -> Usage | None:
        try:
            with self._connection.reading():
                client = self._connection.client()
                one_shot = {"one_shot": True} if utils.version_gte(client.api_version, ONE_SHOT_API) else {}
                try:
                    told = client.stats(container_id, stream=False, **one_shot)
                except ValueError:  # Podman answers with nothing where the container does not run
                    return None
                return listing.usage(told)
        except EngineRefused as error:
            if error.reason in ("not_found", "conflict"):  # it has ended meanwhile
                return None
            raise

    def close(self) -> None:
        with self._lock:
            self._closed = True
            events = self._events
        self._minder.close()
        if events is not None:
            events.close()
        self._logs.close()
        self._connection.forget()


@contextlib.contextmanager
def _absent_is_fine() -> Iterator[None]:
    try:
        yield
    except DockerException as error:
        if getattr(error, "status_code", None) != 404:
            raise
