"""Real servers for tests: found on PATH or among the unpacked ones, on free ports, in folders the test gives."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
UNPACKED = ROOT / ".skerry" / "servers" / "bin"


def use_unpacked_servers() -> None:
    """Put the servers that ./run unpacked in front of PATH."""
    if str(UNPACKED) not in os.environ["PATH"]:
        os.environ["PATH"] = f"{UNPACKED}{os.pathsep}{os.environ['PATH']}"


def program(name: str) -> str:
    """Return the path of a server; without it a test skips at home and fails in CI."""
    found = shutil.which(name)
    if found is None:
        message = f"{name} is not here; ./run test unpacks it"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], object], *, timeout_s: float = 20.0, what: str = "the condition") -> None:
    """Wait for a state, never for a time; fail naming what did not come."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"after {timeout_s:.0f} s still not: {what}")
        time.sleep(0.05)


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


class Server:
    """A child process of a test."""

    def __init__(
        self, argv: list[str], *, log: Path, ready: Callable[[], object], environment: Mapping[str, str] | None = None
    ) -> None:
        self._argv = argv
        self._environment = environment
        self._log = log
        self._ready = ready
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as output:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *self._argv],
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment,
            )
        wait_until(
            lambda: self._ready() or self.process is None or self.process.poll() is not None,
            what=f"{self._argv[0]} answers",
        )
        if self.process.poll() is not None:
            pytest.fail(f"{self._argv[0]} ended: {self._log.read_text()[-800:]}")

    def kill(self) -> None:
        """End it as a power cut would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(10)
