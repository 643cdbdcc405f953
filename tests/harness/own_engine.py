"""Engines of a test's own, which may be killed and restarted, and have the machine's power cut under them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import docker
import pytest
from docker.errors import DockerException

from tests.harness.podman import OwnPodman, processes_of_containers, remove_everything
from tests.harness.servers import Server, program, wait_until

ENGINE, MONITOR = ("dockerd", "containerd"), "containerd-shim-runc-v2"


class OwnEngine(Protocol):
    url: str

    def kill(self) -> None:
        """End the engine as a crash does; what runs goes on where the engine lets it."""

    def start(self) -> None: ...

    def cut_power(self) -> None:
        """End the engine and all that runs on it at once, and forget what a reboot forgets."""


class OwnDocker:
    """A dockerd with its own containerd, storage and networks, in one folder; the host's firewall is not touched."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # With `--bridge=none` a dockerd deletes docker0, which is the bridge of the machine's own.
        self._bridge = f"sk{os.getpid()}"
        self.url = f"unix://{folder}/docker.sock"
        argv = [
            program("dockerd"),
            *("--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec", "--pidfile", f"{folder}/pid"),
            *("--host", self.url, f"--bridge={self._bridge}", "--iptables=false", "--ip6tables=false"),
            f"--default-address-pool=base=10.{128 + os.getpid() % 28}.0.0/16,size=24",
        ]
        self._server = Server(argv, log=folder / "dockerd.log", ready=self._answers)

    def start(self) -> None:
        if not Path("/sys/class/net", self._bridge).exists():
            subprocess.run(["ip", "link", "add", self._bridge, "type", "bridge"], check=True)
            address = f"10.{156 + os.getpid() % 28}.0.1/24"
            subprocess.run(["ip", "address", "add", address, "dev", self._bridge], check=True)
        for left in (
            "pid",
            "exec/containerd/containerd.pid",
        ):  # who ended unseen may have left a name that still is one
            (self._folder / left).unlink(missing_ok=True)
        with docker0_stays():
            self._server.start()

    def kill(self) -> None:
        self._server.kill()
        end(self._folder, ENGINE)

    def cut_power(self) -> None:
        running = processes_of_containers(self.url)
        self._server.kill()
        end(self._folder, (*ENGINE, MONITOR))
        for process in running.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)

    def stop(self) -> None:
        try:
            if self._answers():
                remove_everything(self.url)
        finally:
            self._server.stop()
            end(self._folder, (*ENGINE, MONITOR))
            subprocess.run(["ip", "link", "delete", self._bridge], check=False)

    def _answers(self) -> bool:
        try:
            client = docker.APIClient(self.url, version="auto", timeout=10)
            client.close()
        except DockerException:
            return False
        return True


@contextmanager
def docker0_stays() -> Iterator[None]:
    """Put docker0 back when it goes: a dockerd that starts after a crash deletes it, whoever's it is."""
    shown = subprocess.run(["ip", "-json", "-4", "address", "show", "docker0"], capture_output=True, check=False)
    links = json.loads(shown.stdout or b"[]")
    addresses = [f"{each['local']}/{each['prefixlen']}" for link in links for each in link.get("addr_info", ())]
    over = threading.Event()

    def keep() -> None:
        while not over.wait(0.02):
            if not Path("/sys/class/net/docker0").exists():
                subprocess.run(["ip", "link", "add", "docker0", "type", "bridge"], check=True)
                for address in addresses:
                    subprocess.run(["ip", "address", "add", address, "dev", "docker0"], check=True)
                subprocess.run(["ip", "link", "set", "docker0", "up"], check=True)

    thread = threading.Thread(target=keep, daemon=True)
    if addresses:
        thread.start()
    try:
        yield
    finally:
        over.set()
        if addresses:
            thread.join()


def end(folder: Path, programs: Iterable[str]) -> None:
    """Kill the processes of these programs that name a folder on their command line."""
    ends = tuple(program.encode() for program in programs)
    left = [
        int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and _is_of(entry, folder, ends)
    ]
    for process in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    wait_until(
        lambda: not any(_is_of(Path(f"/proc/{process}"), folder, ends) for process in left), what="all processes end"
    )


def _is_of(entry: Path, folder: Path, ends: tuple[bytes, ...]) -> bool:
    try:
        words = (entry / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return words[0].endswith(ends) and any(str(folder).encode() in word for word in words)


@contextmanager
def own_docker() -> Iterator[OwnDocker]:
    """Yield a Docker that only this test has. Root only."""
    if os.getuid() != 0 or shutil.which("dockerd") is None:
        pytest.skip("an engine of one's own needs root and dockerd")
    folder = Path(tempfile.mkdtemp(prefix="skerry-docker-"))
    made = OwnDocker(folder)
    try:
        made.start()
        yield made
    finally:
        made.stop()
        for line in sorted(Path("/proc/mounts").read_text().splitlines(), reverse=True):
            if (mount := line.split()[1]).startswith(f"{folder}/"):
                subprocess.run(["umount", "-l", mount], check=True)
        shutil.rmtree(folder)


@contextmanager
def docker_service() -> Iterator[str]:
    """Yield the address of such a Docker, whose places for pulls nobody else takes."""
    with own_docker() as engine:
        yield engine.url


@contextmanager
def own_engine(kind: str) -> Iterator[OwnEngine]:
    """Yield an engine of a kind that only this test has."""
    if kind == "docker":
        with own_docker() as engine:
            yield engine
    else:
        podman = OwnPodman()
        try:
            podman.start()
            yield podman
        finally:
            podman.stop()
