"""A Docker of a story's own, for pulls alone: it has no networks, and nobody else's pulls wait for its three places."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
from docker.errors import DockerException

from tests.harness.servers import Server, program


@contextmanager
def docker_service() -> Iterator[str]:
    """Run `dockerd` with its own containerd, both in one folder; yield its address. Root only."""
    folder = Path(tempfile.mkdtemp(prefix="skerry-dockerd-"))
    address = f"unix://{folder}/docker.sock"
    argv = [program("dockerd"), "--host", address, "--pidfile", str(folder / "pid")]
    argv += ["--data-root", str(folder / "data"), "--exec-root", str(folder / "exec")]
    bridge = f"skp{os.getpid()}"  # with `--bridge none` a dockerd deletes docker0, the bridge of the machine's own
    argv += ["--bridge", bridge, "--iptables=false", "--ip6tables=false"]
    server = Server(argv, log=folder / "dockerd.log", ready=lambda: _answers(address))
    subprocess.run(["ip", "link", "add", bridge, "type", "bridge"], check=True)
    subprocess.run(["ip", "address", "add", f"10.{184 + os.getpid() % 28}.0.1/24", "dev", bridge], check=True)
    server.start()
    try:
        yield address
    finally:
        server.stop()
        subprocess.run(["ip", "link", "delete", bridge], check=True)
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for mount in sorted((mount for mount in mounts if mount.startswith(f"{folder}/")), reverse=True):
            subprocess.run(["umount", "-l", mount], check=True)
        shutil.rmtree(folder)


def _answers(address: str) -> bool:
    try:
        client = docker.APIClient(address, version="1.41", timeout=10)
        client.ping()
        client.close()
    except (DockerException, OSError):
        return False
    return True
