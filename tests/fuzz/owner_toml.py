"""Fuzz device.toml: what an owner wrote is read, or refused by the name of what is wrong."""

from __future__ import annotations

import tempfile
from pathlib import Path
from random import Random

from broker.errors import Refused
from device.config import Owner, read_owner
from tests.fuzz.fuzzing import damaged, main

SEEDS = (
    b'engine = "unix:///run/docker.sock"\nzone = "north"\n[policy]\nallow_privileged = true\n'
    b'allow_devices = ["/dev/ttyS0", "/dev/i2c-1"]\nallow_bind_prefixes = ["/srv"]\n'
    b'[telemetry]\nintake_megabytes = 32\nstore_megabytes = 256\nlinger_ms = 500\ndurability = "always"\n',
    b"policy = {allow_sysctls = true, allow_capabilities = ['NET_ADMIN']}\n",
    b'"zone" = """\n\\\n  north"""  # \xc3\xa9\n[telemetry]\nlinger_ms = 0x1_F\n',
    b"zone = 1979-05-27T07:32:00Z\nengine = 1e400\n[[policy]]\n" + b"[" * 50 + b"]" * 50,
)


def make(random: Random) -> bytes:
    text = damaged(random, SEEDS)
    if random.random() < 0.02:
        text += random.choice((b"\nx = " + b"[" * 2000, b"\nx = " + b"9" * 5000, b"\nx." + b"x." * 500 + b"x = 1"))
    return text


def attempt(text: bytes) -> None:
    """Read it as the worker does; a refusal names the file in one line."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "device.toml"
        file.write_bytes(text)
        try:
            assert isinstance(read_owner(file), Owner)
        except Refused as error:
            _is_one_line_about(file, str(error))
            raise


def _is_one_line_about(file: Path, text: str) -> None:
    assert text.startswith(str(file))
    assert "\n" not in text


if __name__ == "__main__":
    main(make, attempt)
