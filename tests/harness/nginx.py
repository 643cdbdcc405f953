"""The mirror of examples/mirror as a real nginx: the example's own file, with addresses and folders of a test."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.harness.servers import ROOT, Server, accepts, free_port, program

EXAMPLE = ROOT / "examples" / "mirror" / "nginx.conf"


def mirror_config(folder: Path, *, port: int, registry: str) -> str:
    """Return the example for a registry without TLS; every place that has to be changed is there to be changed."""
    text = EXAMPLE.read_text()
    for pattern, instead in (
        (r"user www-data;", f"user {'root' if os.geteuid() == 0 else 'nobody'};"),
        (r"/var/lib/skerry-mirror", str(folder)),
        (r"proxy_ssl_\w+ [^;]+;", ""),
        (r"listen 5080;", f"listen 127.0.0.1:{port};"),
        (r"https://cloud\.example:5000;", f"http://{registry};"),
    ):
        text, found = re.subn(pattern, instead, text)
        assert found, f"the example has no {pattern}"
    return text


@contextlib.contextmanager
def nginx_mirror(folder: Path, *, registry: str) -> Iterator[str]:
    """Run the example in front of a registry; yield its base URL."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(mirror_config(folder, port=port, registry=registry))
    argv = [program("nginx"), "-e", str(folder / "error.log"), "-p", str(folder), "-c", str(config)]
    checked = subprocess.run([*argv, "-t"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    server = Server([*argv, "-g", "daemon off;"], log=folder / "nginx.log", ready=lambda: accepts(port))
    server.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.stop()
