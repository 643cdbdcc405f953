"""Ways to bring the peer app up, change it and take it down: the engine's own API, and two generations of Compose."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import docker

from bench.peer_app import CHAIN, COMMAND, Images, write_compose

LABEL = "bench"
SERVICE_LABELS = ("service", "com.docker.compose.service", "io.skerry.service")


class Contender(Protocol):
    """`name` is how the results call it; `filter` is the label its containers have, `mark` is in its network's name."""

    name: str
    filter: str
    mark: str

    def up(self, api: int) -> None:
        """Bring the app up with `api` in that version, or change it to that."""

    def down(self) -> None:
        """Take containers and networks away."""


class Raw:
    """The fewest engine calls, made by hand: what cannot run beside each other runs in order, all else at once.

    As Compose files ask, a service starts after and stops before what it depends on.
    """

    name = "raw"

    def __init__(self, images: Images, mark: str) -> None:
        self._images = images
        self.mark = mark
        self._client = docker.APIClient(version="1.41")
        self._client.trust_env = False
        self._api = 0
        self.filter = f"{LABEL}={mark}"

    def up(self, api: int) -> None:
        if self._api:
            self._client.stop(self._called("api"), timeout=10)
            self._client.remove_container(self._called("api"))
            self._create("api", api)
            self._client.start(self._called("api"))
        else:
            with ThreadPoolExecutor(3) as pool:
                network = pool.submit(self._network)
                volume = pool.submit(self._client.create_volume, self._called("data"), labels=self._labels)
                network.result(), volume.result()
                list(pool.map(lambda name: self._create(name, api), CHAIN))
            for name in CHAIN:
                self._client.start(self._called(name))
        self._api = api

    def down(self) -> None:
        with ThreadPoolExecutor(3) as pool:
            removals = []
            for name in reversed(CHAIN):
                self._client.stop(self._called(name), timeout=10)
                removals.append(pool.submit(self._client.remove_container, self._called(name)))
            for removal in removals:
                removal.result()
        self._client.remove_network(self._called("back"))
        self._api = 0

    def end(self) -> None:
        self._client.remove_volume(self._called("data"), force=True)
        self._client.close()

    @property
    def _labels(self) -> dict[str, str]:
        return {LABEL: self.mark}

    def _called(self, name: str) -> str:
        return f"{self.mark}-{name}"

    def _network(self) -> None:
        self._client.create_network(self._called("back"), labels=self._labels, check_duplicate=True)

    def _create(self, name: str, version: int) -> None:
        client, network = self._client, self._called("back")
        binds = [f"{self._called('data')}:/data"] if name == "store" else None
        client.create_container(
            self._images.names[version if name == "api" else 1],
            COMMAND,
            name=self._called(name),
            labels=self._labels | {"service": name},
            host_config=client.create_host_config(restart_policy={"Name": "unless-stopped"}, binds=binds),
            networking_config=client.create_networking_config({network: client.create_endpoint_config(aliases=[name])}),
        )


class RawAtOnce(Raw):
    """Takes all down at once, whatever depends on what: faster than anything that keeps the order."""

    name = "raw at once"

    def down(self) -> None:
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(self._away, CHAIN))
        self._client.remove_network(self._called("back"))
        self._api = 0

    def _away(self, name: str) -> None:
        self._client.stop(self._called(name), timeout=10)
        self._client.remove_container(self._called(name))


class Compose:
    """A Compose command line: `docker-compose` of old, or the plugin as a program of its own."""

    def __init__(self, name: str, command: list[str], folder: Path, images: Images) -> None:
        self.name = name
        self._command = command
        self._folder = folder
        self._file = write_compose(folder, images)
        self.mark = folder.name
        self.filter = f"com.docker.compose.project={folder.name}"

    def up(self, api: int) -> None:
        self._run("up", "-d", "--quiet-pull", API_TAG=str(api))

    def no_op(self) -> None:
        """Ask for what runs already."""
        self._run("up", "-d", "--quiet-pull", API_TAG="1")

    def down(self) -> None:
        self._run("down")

    def end(self) -> None:
        self._run("down", "-v")

    def _run(self, *words: str, **variables: str) -> None:
        done = subprocess.run(
            [*self._command, "-p", self._folder.name, "-f", str(self._file), *words],
            env={key: value for key, value in os.environ.items() if not key.startswith("PYTHON")} | variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        if done.returncode != 0:
            raise OSError(f"{self.name} {' '.join(words)}: {done.stderr[-500:]}")


class Watch:
    """The engine's own events of one contender: what was started, ended and removed, and when by the engine's clock."""

    def __init__(self, contender: Contender) -> None:
        self._label, _, self._value = contender.filter.partition("=")
        self._mark = contender.mark
        self._client = docker.APIClient(version="1.41", timeout=None)
        self._stream = self._client.events(decode=True, filters={"type": ["container", "network"]})
        self._changed = threading.Condition()
        self.events: list[tuple[float, str, str]] = []  # (seconds since 1970, action, service or network)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for event in self._stream:
            facts = event["Actor"]["Attributes"]
            if event["Type"] == "network":  # these carry no labels
                if event["Action"] not in ("create", "destroy") or self._mark not in facts["name"]:
                    continue
            elif facts.get(self._label) != self._value:
                continue
            service = next((facts[key] for key in SERVICE_LABELS if key in facts), facts["name"])
            with self._changed:
                self.events.append((event["timeNano"] / 1e9, f"{event['Type']} {event['Action']}", service))
                self._changed.notify_all()

    def forget(self) -> None:
        with self._changed:
            self.events.clear()

    def until(self, condition: Callable[[list[tuple[float, str, str]]], bool], what: str) -> None:
        """Wait until the events fulfil `condition`."""
        with self._changed:
            if not self._changed.wait_for(lambda: condition(self.events), timeout=60):
                raise TimeoutError(f"{what} did not come; there came {self.events}")

    def times(self, action: str) -> dict[str, float]:
        """Return when each service last did `action`."""
        with self._changed:
            return {service: at for at, name, service in self.events if name == action}

    def close(self) -> None:
        self._stream.close()
        self._client.close()
