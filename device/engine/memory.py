"""An engine in memory: for tests of what stands on the port, and for states no real engine can be brought into.

Containers do nothing; a test says what they do by `become`. It passes the same contract tests as the real ones.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from dataclasses import replace

from broker.appspec import Healthcheck, Hook, Restart
from device.engine import labels
from device.engine.limits import left_out
from device.engine.port import (
    CANNOT,
    Container,
    Details,
    EngineInfo,
    EngineRefused,
    EngineUnavailable,
    Health,
    HookResult,
    LogLine,
    NetworkSeen,
    Observed,
    Progress,
    State,
    Usage,
    WantedContainer,
    WantedNetwork,
    WantedVolume,
)

API = "1.41"


class MemoryEngine:
    """Holds containers, networks, volumes and images as values."""

    def __init__(self) -> None:
        self.by_id: dict[str, Container] = {}
        self.specs: dict[str, WantedContainer] = {}
        self.networks: dict[str, NetworkSeen] = {}
        self.volumes: set[str] = set()
        self.images: set[str] = set()
        self.registry: set[str] = set()
        self.image_checks: dict[str, Healthcheck] = {}
        self.hooks: list[tuple[str, Hook]] = []  # those that ran, with the container's name
        self.hook_results: dict[tuple[str, ...], HookResult] = {}  # by command; the others end with 0
        self._details: dict[str, Details] = {}
        self.available = True
        self.calls: list[str] = []
        self._numbers = itertools.count(1)
        self._ticks = itertools.count(1_700_000_000)
        self._event = threading.Event()
        self._closed = False

    # --- for tests

    def become(
        self,
        service: str,
        state: State,
        health: Health = "none",
        exit_code: int | None = None,
        *,
        restarts: int = 0,
        oom_killed: bool = False,
    ) -> None:
        """Put all containers of `service` into a state; `restarts` more than they had."""
        for key in [key for key, container in self.by_id.items() if container.service == service]:
            self.become_one(key, state, health, exit_code, restarts=restarts, oom_killed=oom_killed)

    def become_one(
        self,
        key: str,
        state: State,
        health: Health = "none",
        exit_code: int | None = None,
        *,
        restarts: int = 0,
        oom_killed: bool = False,
    ) -> None:
        """Put one container into a state."""
        self.by_id[key] = replace(self.by_id[key], state=state, health=health, exit_code=exit_code)
        told = self._details.get(key, Details(self._now_ms(), 0, oom_killed=False, exit_code=None))
        self._details[key] = replace(
            told,
            started_at_ms=self._now_ms() if restarts else told.started_at_ms,
            restarts=told.restarts + restarts,
            oom_killed=oom_killed,
        )
        self._event.set()

    def disconnect(self, service: str, network: str) -> None:
        """Take all containers of `service` off a network."""
        for key in [key for key, container in self.by_id.items() if container.service == service]:
            container = self.by_id[key]
            self.by_id[key] = replace(container, networks=(container.networks or frozenset()) - {network})
        self._event.set()

    # --- the port

    def info(self) -> EngineInfo:
        self._answer("info")
        return EngineInfo(name="memory", version="1", api=API, arch="amd64", os="linux", kernel="none")

    def observe(self) -> Observed:
        self._answer("observe")
        return Observed(tuple(self.by_id.values()), tuple(self.networks.values()), frozenset(self.volumes))

    def containers(self) -> tuple[Container, ...]:
        self._answer("containers")
        return tuple(self.by_id.values())

    def resources(self) -> tuple[tuple[NetworkSeen, ...], frozenset[str]]:
        self._answer("resources")
        return tuple(self.networks.values()), frozenset(self.volumes)

    def details(self, container_id: str) -> Details:
        self._answer("details")
        container = self._known(container_id)
        told = self._details.get(container_id, Details(None, 0, oom_killed=False, exit_code=None))
        exit_code = None if container.state == "running" else container.exit_code
        return replace(told, exit_code=exit_code, state=container.state)

    def has_image(self, image: str) -> bool:
        self._answer("has_image")
        return image in self.images

    def pull(self, image: str, *, token: str, progress: Progress) -> None:
        self._answer("pull")
        if image not in self.registry:
            raise EngineRefused("pull_failed", f"cannot pull {image}: manifest unknown")
        if not token:
            raise EngineRefused("pull_failed", f"cannot pull {image}: unauthorized")
        progress(1, 1)
        self.images.add(image)

    def save(self, image: str) -> Iterator[bytes]:
        self._answer("save")
        if image not in self.images:
            raise EngineRefused("not_found", f"no such image: {image}")
        return iter(())  # images have no bytes here

    def create_network(self, network: WantedNetwork) -> None:
        self._answer("create_network")
        if network.name in self.networks:
            raise EngineRefused("engine_refused", f"network {network.name} exists")
        self.networks[network.name] = NetworkSeen(
            f"n{next(self._numbers)}", network.name, network.instance, network.labels[labels.HASH]
        )

    def remove_network(self, network: NetworkSeen) -> None:
        self._answer("remove_network")
        users = [c for key, c in self.by_id.items() if network.name in self.specs[key].networks]
        if any(user.state == "running" for user in users):
            raise EngineRefused("engine_refused", f"network {network.name} is in use")
        self.networks.pop(network.name, None)

    def create_volume(self, volume: WantedVolume) -> None:
        self._answer("create_volume")
        self.volumes.add(volume.name)

    def create(self, container: WantedContainer) -> None:
        self._answer("create")
        if keys := left_out(container, "docker", API):
            raise EngineRefused(CANNOT, f"memory does not carry out {'; '.join(keys)}")
        if container.image not in self.images:
            raise EngineRefused("not_found", f"no such image: {container.image}")
        if any(seen.name == container.name for seen in self.by_id.values()):
            raise EngineRefused("engine_refused", f"the name {container.name} is in use")
        missing = [network for network in container.networks if network not in self.networks]
        if missing:
            raise EngineRefused("not_found", f"network {missing[0]} not found")
        known = {seen.name for seen in self.by_id.values()} | self.by_id.keys()
        absent = [name for name in container.joined.values() if name not in known]
        if absent:
            raise EngineRefused("not_found", f"no such container: {absent[0]}")
        key = f"c{next(self._numbers):011d}"
        self.specs[key] = container
        self.by_id[key] = Container(
            id=key,
            name=container.name,
            instance=container.instance,
            service=container.service,
            hash=container.hash,
            state="created",
            image=container.image,
            release=container.release,
            index=int(container.labels.get(labels.INDEX, "1")),
            restart=container.labels.get(labels.RESTART, ""),
            joined=container.labels.get(labels.JOINED, ""),
            networks=frozenset(container.networks),
        )
        self._event.set()

    def lay_ready(self, container: WantedContainer) -> None:
        self._answer("lay_ready")

    def start(self, container_id: str) -> None:
        self._answer("start")
        container = self._known(container_id)
        if container.state == "running":
            return
        want = self.specs[container.id]
        missing = [network for network in want.networks if network not in self.networks]
        if missing:
            raise EngineRefused("not_found", f"network {missing[0]} not found")
        taken = {port for key in self.by_id if self.by_id[key].state == "running" for port in self._ports(key)}
        if clash := taken & self._ports(container.id):
            raise EngineRefused("engine_refused", f"port {min(clash)[0]} is already allocated")
        check = want.spec.healthcheck or self.image_checks.get(want.image)
        self._details[container.id] = Details(self._now_ms(), 0, oom_killed=False, exit_code=None)
        self.by_id[container.id] = replace(
            container, state="running", health="none" if check is None else "starting", exit_code=None
        )
        self._event.set()

    def rename(self, container_id: str, name: str) -> None:
        self._answer("rename")
        container = self._known(container_id)
        if any(seen.name == name for seen in self.by_id.values() if seen.id != container.id):
            raise EngineRefused("engine_refused", f"the name {name} is in use")
        self.by_id[container.id] = replace(container, name=name)
        self._event.set()

    def stop(self, container_id: str, *, grace_s: int) -> None:
        self._answer("stop")
        container = self.by_id.get(container_id)
        if container is not None and container.state in ("running", "restarting"):
            self.by_id[container_id] = replace(container, state="exited", health="none", exit_code=137)
            self._event.set()

    def remove(self, container_id: str) -> None:
        self._answer("remove")
        self.by_id.pop(container_id, None)
        self.specs.pop(container_id, None)
        self._details.pop(container_id, None)
        self._event.set()

    def run_hook(self, container_id: str, hook: Hook, *, timeout_s: float) -> HookResult:
        self._answer("run_hook")
        container = self._known(container_id)
        if container.state != "running":
            raise EngineRefused("engine_refused", f"container {container.name} is not running")
        self.hooks.append((container.name, hook))
        return self.hook_results.get(hook.command, HookResult(0, ""))

    def set_restart(self, container_id: str, restart: Restart) -> None:
        self._answer("set_restart")
        self._known(container_id)
        want = self.specs[container_id]
        self.specs[container_id] = replace(want, spec=want.spec.model_copy(update={"restart": restart}))

    def image_healthcheck(self, image: str) -> Healthcheck | None:
        self._answer("image_healthcheck")
        if image not in self.images:
            raise EngineRefused("not_found", f"no such image: {image}")
        return self.image_checks.get(image)

    def remove_image(self, image: str) -> None:
        self._answer("remove_image")
        if any(container.image == image for container in self.by_id.values()):
            raise EngineRefused("engine_refused", f"image {image} is in use")
        self.images.discard(image)

    def remove_volume(self, name: str) -> None:
        self._answer("remove_volume")
        self.volumes.discard(name)

    def bridge_of(self, network: str) -> str | None:
        return None

    def wait_for_event(self, timeout_s: float) -> bool:
        self._answer("wait_for_event")
        came = self._event.wait(timeout_s)
        self._event.clear()
        return came

    def follow_logs(self, container_id: str, *, since_ns: int) -> Iterator[LogLine]:
        self._known(container_id)
        return iter(())

    def last_lines(self, container_id: str, count: int) -> list[str]:
        return []

    def usage(self, container_id: str) -> Usage | None:
        running = any(c.id == container_id and c.state == "running" for c in self.containers())
        return Usage(cpu_s=0.5, memory_bytes=1024, received_bytes=10, sent_bytes=20) if running else None

    def close(self) -> None:
        self._closed = True
        self._event.set()

    def _now_ms(self) -> int:
        """Return a later time than before: here starts are what time is counted by."""
        return next(self._ticks) * 1000

    def _ports(self, key: str) -> set[tuple[int, str]]:
        return {(port.published, port.protocol) for port in self.specs[key].spec.ports if port.published}

    def _known(self, container_id: str) -> Container:
        for container in self.by_id.values():
            if container_id in (container.id, container.name):
                return container
        raise EngineRefused("not_found", f"no such container: {container_id}")

    def _answer(self, call: str) -> None:
        self.calls.append(call)
        if not self.available:
            raise EngineUnavailable("no answer from the engine")
