"""The real processes of a demo, all in one state folder: the cloud, a device's worker, the command line.

Scenario tests use the same world. Every process carries SKERRY_WORLD in its environment and dies with its starter,
so that nothing can be left behind unseen.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import docker
from docker.errors import APIError, NotFound

from broker.errors import SkerryError
from device.engine.docker import DockerEngine
from examples.demo.link import Link

HELLO = Path(__file__).resolve().parent.parent / "hello"
PASSWORD = "correct horse battery staple"  # noqa: S105 - of a cloud that lives as long as the demo
READY_S = 60.0
MARK = "SKERRY_WORLD"


class WorldError(SkerryError):
    """A part of the world did not do what the story needs."""


def wait_until(condition: Callable[[], object], *, timeout_s: float, what: str) -> float:
    """Wait until `condition()` is true; return how long it took; raise `WorldError` naming `what`."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > timeout_s:
            raise WorldError(f"after {timeout_s:.0f} s still not: {what}")
        time.sleep(0.1)
    return time.monotonic() - began


class Process:
    """One program of ours with its log."""

    def __init__(self, module: str, arguments: list[str], *, log: Path, mark: str) -> None:
        self._argv = ["setpriv", "--pdeathsig", "TERM", sys.executable, "-m", module, *arguments]
        self._environment = os.environ | {MARK: mark, "PYTHONUNBUFFERED": "1"}
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self._argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
            )

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """End it at whatever instruction it is."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()

    def stop(self) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(40)
        except subprocess.TimeoutExpired:
            self.kill()

    def tail(self, lines: int = 15) -> str:
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


class Cloud:
    """`skerry-cloud` in a folder of its own."""

    def __init__(self, folder: Path, *, mark: str, keepalive_s: int = 15) -> None:
        self.folder = folder
        self.state = folder / "state"
        self._mark = mark
        self._ready = folder / "ready.json"
        self.process = Process(
            "cloud.main",
            ["serve", "--state", str(self.state), "--keepalive", str(keepalive_s), "--ready-file", str(self._ready)],
            log=folder / "cloud.log",
            mark=mark,
        )
        self.facts: dict[str, Any] = {}

    def init(self, *, org: str = "acme", user: str = "ann", database: str = "") -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        password = self.folder / "password"
        password.write_text(PASSWORD + "\n")
        run_module(
            "cloud.main",
            ["init", "--state", str(self.state), "--org", org, "--user", user, "--password-file", str(password)]
            + (["--database", database] if database else []),
            mark=self._mark,
        )

    def start(self) -> None:
        self._ready.unlink(missing_ok=True)
        self.process.start()
        wait_until(lambda: self._ready.exists() or not self.process.alive, timeout_s=READY_S, what="the cloud is up")
        if not self._ready.exists():
            raise WorldError(f"the cloud ended: {self.process.tail()}")
        self.facts = json.loads(self._ready.read_text())

    @property
    def broker_port(self) -> int:
        return int(str(self.facts["broker"]).rpartition(":")[2])

    @property
    def database(self) -> Path:
        found = [*self.state.rglob("*.db"), *self.state.rglob("*.sqlite*")]
        return next(
            path for path in found if path.suffix in (".db", ".sqlite", ".sqlite3") and "mosquitto" not in path.name
        )


class Device:
    """`skerry-device` in a folder of its own, on a link that can be cut."""

    def __init__(self, folder: Path, *, broker_port: int, mark: str, log: Path | None = None) -> None:
        self.state = folder
        self.link = Link("127.0.0.1", broker_port)
        self._mark = mark
        self.process = Process(
            "device.cli",
            ["run", "--state", str(folder), "--broker", self.link.address],
            log=log or folder.with_suffix(".log"),
            mark=mark,
        )
        self.identity: dict[str, Any] = {}

    def enroll(self, token: str, *, name: str) -> None:
        run_module("device.cli", ["enroll", token, "--state", str(self.state), "--name", name], mark=self._mark)
        self.identity = json.loads((self.state / "identity" / "identity.json").read_text())

    @property
    def id(self) -> str:
        return str(self.identity["device"])

    def engine(self) -> DockerEngine:
        return DockerEngine(device=self.id)

    def containers(self) -> dict[str, str]:
        """Return the state of each service, with its health where it has one."""
        engine = self.engine()
        try:
            return {c.service: c.state if c.health == "none" else c.health for c in engine.observe().containers}
        finally:
            engine.close()

    def mac_key(self) -> bytes:
        return base64.b64decode(self.identity["mac_key"])

    def stop(self) -> None:
        self.process.stop()
        self.link.close()

    def purge(self) -> None:
        """Remove everything of this device from the engine."""
        if self.identity:
            run_module("device.cli", ["purge", "--state", str(self.state), "--volumes", "--yes"], mark=self._mark)


class Cli:
    """The command `skerry`, logged in as somebody."""

    def __init__(self, home: Path, *, mark: str) -> None:
        self._environment = os.environ | {"SKERRY_HOME": str(home), MARK: mark}

    def __call__(self, *arguments: str, environment: Mapping[str, str] | None = None) -> Any:
        """Run a command with --json; return its answer; raise `WorldError` with its error."""
        done = self.run(*arguments, "--json", environment=environment)
        if done.returncode:
            raise WorldError(f"skerry {' '.join(arguments[:2])}: {done.stderr.strip() or done.stdout.strip()}")
        return json.loads(done.stdout) if done.stdout.strip() else None

    def run(self, *arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "cloud.cli.main", *arguments],
            env=self._environment | dict(environment or {}),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def popen(self, *arguments: str, output: Path) -> subprocess.Popen[bytes]:
        """Start a command that goes on, its output in a file."""
        with output.open("wb") as file:
            return self.going_on(*arguments, stdout=file)

    def going_on(self, *arguments: str, stdout: int | IO[bytes]) -> subprocess.Popen[bytes]:
        """Start a command that goes on."""
        return subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", sys.executable, "-m", "cloud.cli.main", *arguments],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def login(self, cloud: Cloud, *, user: str = "ann") -> Any:
        facts = cloud.facts
        url = str(facts["api"])
        return self(
            "login", url, "--user", user, "--ca-hash", str(facts["ca_hash"]), environment={"SKERRY_PASSWORD": PASSWORD}
        )


def run_module(module: str, arguments: list[str], *, mark: str) -> str:
    """Run one of our commands to its end; raise `WorldError` with its error line."""
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env=os.environ | {MARK: mark},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode:
        raise WorldError(f"{module} {arguments[0]}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def hello_folder(target: Path) -> Path:
    """Return a copy of the hello app with a busybox in it, ready to be pushed."""
    shutil.copytree(HELLO, target, dirs_exist_ok=True)
    busybox = shutil.which("busybox")
    if busybox is None:
        raise WorldError("busybox (static) is not here; ./run brings it")
    shutil.copy(busybox, target / "busybox")
    return target


def read_from_container(container: str, path: str) -> str:
    """Return a file of a running container, read by its own busybox."""
    client = docker.APIClient(version="auto")
    try:
        made = client.exec_create(container, ["/bin/busybox", "cat", path])
        return bytes(client.exec_start(made["Id"])).decode().strip()
    except (NotFound, APIError) as error:
        raise WorldError(f"cannot read {path}: {error}") from error
    finally:
        client.close()


def image_names(*prefixes: str) -> frozenset[str]:
    """Return the names of images, tags and digests, that begin with one of the prefixes."""
    client = docker.APIClient(version="auto")
    names = [
        name
        for image in client.images()
        for name in [*(image.get("RepoTags") or []), *(image.get("RepoDigests") or [])]
    ]
    client.close()
    return frozenset(name for name in names if name.startswith(prefixes))


def remove_images(names: frozenset[str], *, layers: bool = True) -> None:
    """Remove images name by name: one that has other names keeps them and stays.

    Without `layers` what they were built from stays as well: somebody may be building from it.
    """
    client = docker.APIClient(version="auto")
    for name in sorted(names):
        with contextlib.suppress(NotFound):
            client.remove_image(name, force=True, noprune=not layers)
    client.close()
