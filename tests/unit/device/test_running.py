"""What the worker's process has in its memory besides the worker."""

from __future__ import annotations

import subprocess
import sys

import pytest

LOADED = "import device.running, sys; print(*(m for m, it in sys.modules.items() if it is not None), sep=chr(10))"


@pytest.mark.parametrize("library", ["charset_normalizer", "cryptography.hazmat", "rich", "typer"])
def test_the_worker_does_without(library: str) -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {"docker", "redis", "paho.mqtt.client"} <= loaded
    assert library not in loaded
    assert not done.stderr
