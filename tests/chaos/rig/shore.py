"""A cloud and a device whose apps write from outside their containers, and what a story asks of them.

The containers only sleep: they are there so that the worker makes the apps' accounts, which a `Writer` then uses.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from device.config import Paths
from examples.demo.world import Device, image_names, remove_images
from tests.chaos.rig import recorder
from tests.chaos.rig.recorder import Kept, Verdict
from tests.harness.servers import program
from tests.harness.stage import Stage

COMPOSE = """\
name: {name}
services:
  {name}:
    build: .
    x-skerry: {{telemetry: tcp}}
    command: ["/bin/busybox", "sleep", "1000000"]
    stop_grace_period: 1s
"""
PATIENCE_S = 120.0


@dataclass
class App:
    """One app with its journals: each of its writers is told the first number that it writes."""

    name: str
    journal: Path
    next: int = 1
    writer: subprocess.Popen[str] | None = None

    @property
    def stream(self) -> str:
        return f"telemetry:{self.name}"

    def allow(self, upto: int) -> None:
        assert self.writer is not None
        assert self.writer.stdin is not None
        self.writer.stdin.write(f"{upto}\n")
        self.writer.stdin.flush()


class Shore:
    """One cloud, one device, some apps."""

    def __init__(self, folder: Path, *, state: Path, names: tuple[str, ...], settings: Mapping[str, str]) -> None:
        self.folder = folder
        self.stage = Stage(folder, state=state)
        self.apps = [App(name, folder / f"{name}.journal") for name in names]
        self._settings = dict(settings)
        self._state = state

    @property
    def device(self) -> Device:
        return self.stage.device

    @property
    def database(self) -> Path:
        return self.stage.cloud.database

    def begin(self) -> None:
        self._state.mkdir()
        self._write(self._settings)
        self.stage.begin()
        for app in self.apps:
            self.stage.cli("app", "push", str(self._project(app.name)))
            self.stage.cli("deploy", app.name)
        self.stage.until(lambda: all(self.account(app) for app in self.apps), "all apps have accounts")
        self.stage.until(lambda: len(self.device.containers()) == len(self.apps), "all apps run")

    def set(self, **settings: str) -> None:
        """Write the owner's settings of telemetry, and start the worker with them."""
        self._write(settings)
        self.device.process.stop()
        self.device.process.start()
        self.stage.until(lambda: self.intake_answers() and self.device.link.connected, "the worker is back")

    def _write(self, settings: Mapping[str, str]) -> None:
        text = "".join(f"{name} = {value}\n" for name, value in settings.items())
        (self._state / "device.toml").write_text(f"[telemetry]\n{text}")

    def intake_answers(self) -> bool:
        try:
            return all(self.stage.child_pid(self.redis(name)) for name in ("store", "intake"))
        except LookupError:
            return False

    def redis(self, name: str) -> str:
        """Return what the command line of one of the worker's two Redis servers has in it."""
        paths = Paths(self.device.state)
        return f"unixsocket:{paths.store_socket if name == 'store' else paths.intake_socket}"

    def account(self, app: App) -> dict[str, str]:
        """Return the account the worker has made for an app: the file's words for it."""
        kept = json.loads(Paths(self.device.state).telemetry.joinpath("accounts.json").read_text())
        found = {each["name"]: each | {"user": f"app-{instance}"} for instance, each in kept["apps"].items()}
        return dict(found.get(app.name, {}))

    def start_writer(self, app: App, *, rate: float, seed: int, step_ms: int = 0) -> None:
        account = self.account(app)
        arguments = {
            "--socket": str(Paths(self.device.state).intake_socket),
            "--user": account["user"],
            "--stream": app.stream,
            "--journal": str(app.journal),
            "--rate": str(rate),
            "--first": str(app.next),
            "--seed": str(seed),
            "--step-ms": str(step_ms),
        }
        app.writer = subprocess.Popen(
            [
                *("setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "tests.chaos.rig.writer"),
                *(word for pair in arguments.items() for word in pair),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            env=os.environ | {"PASSWORD": account["password"]},
        )

    def wait_written(self, app: App, upto: int) -> None:
        """Wait until an app has written, or given up, every number up to this one."""
        deadline = time.monotonic() + PATIENCE_S
        while self.written(app) < upto:
            assert app.writer is not None
            assert app.writer.poll() is None, f"the writer of {app.name} ended"
            if time.monotonic() > deadline:
                raise TimeoutError(f"{app.name} wrote {self.written(app)}, not {upto}: {self.device.process.tail(20)}")
            time.sleep(0.02)

    def written(self, app: App) -> int:
        """Return the last number in the journal, read from its end."""
        if not app.journal.exists():
            return app.next - 1
        with app.journal.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 400))
            lines = [line.split() for line in file.read().decode().splitlines()]
        return int(lines[-1][1]) if lines and len(lines[-1]) == 5 else app.next - 1

    def acked(self, app: App) -> int:
        """Return how many numbers of an app Redis has acknowledged."""
        return sum(e.last - e.first + 1 for e in recorder.journal(app.journal) if e.kind == "acked")

    def stop_writer(self, app: App) -> None:
        assert app.writer is not None
        app.writer.kill()
        app.writer.wait()
        app.next = max(app.next, self.written(app) + 1)

    def drain(self, app: App) -> None:
        """Wait until the device holds nothing of an app that the cloud does not have."""
        self.stage.until(lambda: self._is_drained(app), f"{app.name} is drained", timeout_s=PATIENCE_S)

    def moved(self, app: App) -> None:
        """Wait until the intake holds nothing of an app: all of it is numbered, or named as lost."""
        self.stage.until(lambda: self._held(app)[0] == 0, f"{app.name} is moved", timeout_s=PATIENCE_S)

    def _is_drained(self, app: App) -> bool:
        waiting, unsent = self._held(app)
        return not waiting and not unsent

    def _held(self, app: App) -> tuple[int, int]:
        """Return how many entries the intake has of an app, and how many numbers the store has not trimmed."""
        paths = Paths(self.device.state)
        password = json.loads(paths.telemetry.joinpath("accounts.json").read_text())["worker"]
        intake: Any = redis.Redis(unix_socket_path=str(paths.intake_socket), username="worker", password=password)
        store: Any = redis.Redis(unix_socket_path=str(paths.store_socket))
        try:
            states = [store.hgetall(key) for key in store.keys(f"state|{app.stream}|*")]
            return intake.xlen(app.stream), sum(int(s[b"last"]) - int(s[b"trimmed"]) for s in states)
        except redis.RedisError:
            return 1, 1
        finally:
            intake.close()
            store.close()

    def verdict(self, app: App, *, database: Path | None = None) -> Verdict:
        return recorder.judge(recorder.journal(app.journal), self.kept(app, database=database))

    def kept(self, app: App, *, database: Path | None = None) -> list[Kept]:
        return recorder.stored(database or self.database, self.device.id, app.stream)

    def audit(self, app: App) -> dict[str, Any]:
        return dict(self.stage.api(f"/v1/devices/{self.device.id}/telemetry/audit?stream={app.stream}"))

    def end(self) -> None:
        names = image_names("shore-")
        for app in self.apps:
            if app.writer is not None:
                app.writer.kill()
                app.writer.wait()
        self.stage.end()
        remove_images(image_names("shore-") - names)

    def _project(self, name: str) -> Path:
        folder = self.folder / "apps" / name
        folder.mkdir(parents=True)
        shutil.copy(program("busybox"), folder / "busybox")
        (folder / "Dockerfile").write_text("FROM scratch\nCOPY busybox /bin/busybox\n")
        (folder / "compose.yaml").write_text(COMPOSE.format(name=name))
        return folder
