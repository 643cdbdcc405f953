"""A Podman of one's own: its service, storage, networks and configuration in one folder, all of it gone afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
from docker.errors import DockerException

from tests.harness.servers import ROOT, Server, program, wait_until

UNPACKED = ROOT / ".skerry" / "servers" / "root" / "usr"
CAP_SYS_RESOURCE = 24
RUNTIME_STATE = Path("/run/runc")  # of the containers of every Podman, by their ids
# Where nobody may raise limits (a small virtual machine, a container), no container with Podman's own ones would start.
WITHOUT_LIMITS = """#!/bin/sh
previous=
for argument; do
  case $previous in
    --bundle) sed -i 's/"rlimits":\\[[^]]*\\],*//' "$argument/config.json" ;;
    --process) sed -i 's/"rlimits":\\[[^]]*\\],*//' "$argument" ;;
  esac
  previous=$argument
done
exec {runtime} "$@"
"""


class OwnPodman:
    """A Podman service in a folder of its own. Root only, as Podman's networks are."""

    def __init__(self, parent: Path | None = None) -> None:
        executable = program("podman")
        self._folder = Path(tempfile.mkdtemp(prefix="skerry-podman-", dir=parent))
        address = self._folder / "podman.sock"
        self.url = f"unix://{address}"
        environment = _configure(self._folder)
        argv = [executable, "--tmpdir", f"{self._folder}/tmp/libpod", "system", "service", "-t", "0", self.url]
        log = self._folder / "podman.log"
        self._server = Server(argv, log=log, ready=lambda: _answers(address), environment=environment)

    def start(self) -> None:
        self._server.start()

    def kill(self) -> None:
        """Only the service: containers have monitors of their own and go on."""
        self._server.kill()

    def cut_power(self) -> None:
        """End all that runs at once, and forget what lies in memory: mounts, and what Podman knows of this boot."""
        running = processes_of_containers(self.url)
        known = [RUNTIME_STATE / container for container in running]
        self._server.kill()
        _end_what_is_left(self._folder)
        for process in running.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        _unmount(self._folder)
        shutil.rmtree(self._folder / "tmp" / "libpod")
        shutil.rmtree(self._folder / "run")
        for state in known:
            shutil.rmtree(state, ignore_errors=True)

    def stop(self) -> None:
        try:
            if _answers(self._folder / "podman.sock"):
                remove_everything(self.url)
        finally:
            self._server.stop()
            _end_what_is_left(self._folder)
            _unmount(self._folder)
            shutil.rmtree(self._folder)


@contextmanager
def podman_service(parent: Path | None = None) -> Iterator[str]:
    """Run `podman system service`, with all it has in `parent`; yield its address."""
    podman = OwnPodman(parent)
    try:
        podman.start()
        yield podman.url
    finally:
        podman.stop()


def _answers(address: Path) -> bool:
    try:
        client = docker.APIClient(f"unix://{address}", version="1.41", timeout=10)
        client.ping()
        client.close()
    except (DockerException, OSError):
        return False
    return True


def _configure(folder: Path) -> dict[str, str]:
    for part in ("tmp", "networks", "home/.config/containers"):
        (folder / part).mkdir(parents=True)
    helpers = [
        UNPACKED / "lib/podman",
        UNPACKED / "libexec/podman",
        Path("/usr/lib/podman"),
        Path("/usr/libexec/podman"),
    ]
    runtime = _runtime(folder)
    libraries = ":".join(sorted({str(file.parent) for file in UNPACKED.glob("lib/**/lib*.so*")}))
    seccomp = next(
        (base / "share/containers/seccomp.json" for base in (Path("/usr"), UNPACKED)
         if (base / "share/containers/seccomp.json").exists()),
        "",
    )  # fmt: skip
    catatonit = next((str(folder / "catatonit") for folder in helpers if (folder / "catatonit").exists()), "catatonit")
    (folder / "containers.conf").write_text(f"""
[containers]
{f'seccomp_profile = "{seccomp}"' if seccomp else ""}

[engine]
cgroup_manager = "cgroupfs"
init_path = "{catatonit}"
events_logger = "file"
runtime = "runc"
exit_command_delay = 1
conmon_path = {json.dumps([str(UNPACKED / "bin/conmon"), "/usr/bin/conmon", "/usr/libexec/podman/conmon"])}
conmon_env_vars = {json.dumps([f"PATH={os.environ['PATH']}", f"LD_LIBRARY_PATH={libraries}"])}
helper_binaries_dir = {json.dumps([str(helper) for helper in helpers])}
image_copy_tmp_dir = "{folder}/tmp"
[engine.runtimes]
runc = ["{runtime}"]
[network]
network_backend = "netavark"
network_config_dir = "{folder}/networks"
default_subnet_pools = [{{"base" = "10.{100 + os.getpid() % 28}.0.0/16", "size" = 24}}]
""")
    (folder / "storage.conf").write_text(
        f'[storage]\ndriver = "overlay"\nrunroot = "{folder}/run"\ngraphroot = "{folder}/images"\n'
    )
    (folder / "home/.config/containers/policy.json").write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    return os.environ | {
        "CONTAINERS_CONF": str(folder / "containers.conf"),
        "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf"),
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
    }


def _runtime(folder: Path) -> str:
    unpacked = UNPACKED / "bin/runc"
    runtime = str(unpacked) if unpacked.exists() else program("runc")
    effective = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff"))
    if int(effective.split()[1], 16) & 1 << CAP_SYS_RESOURCE:
        return runtime
    wrapper = folder / "runc"
    wrapper.write_text(WITHOUT_LIMITS.format(runtime=runtime))
    wrapper.chmod(0o755)
    return str(wrapper)


def remove_everything(url: str) -> None:
    """Remove every container of an engine that nobody else uses."""
    client = docker.APIClient(url, version="1.41", timeout=60)
    for container in client.containers(all=True):
        client.stop(container["Id"], timeout=0)
        client.remove_container(container["Id"], force=True)
    for network in client.networks():
        if network["Name"] not in ("podman", "bridge", "host", "none"):  # an engine's own; nothing has been on them
            client.remove_network(network["Id"])
    client.close()


def processes_of_containers(url: str) -> dict[str, int]:
    """Return the process of each running container, by its id."""
    client = docker.APIClient(url, version="1.41", timeout=60)
    try:
        return {item["Id"]: client.inspect_container(item["Id"])["State"]["Pid"] for item in client.containers()}
    finally:
        client.close()


def _end_what_is_left(folder: Path) -> None:
    """End what belongs to this Podman alone: monitors that wait a moment for others to ask how a command ended."""
    left = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and _is_of(entry, folder)]
    for process in left:
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            continue
    wait_until(lambda: not any(_is_of(Path(f"/proc/{process}"), folder) for process in left), what="monitors end")


def _is_of(entry: Path, folder: Path) -> bool:
    try:
        words = (entry / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    mark = f"{folder}/".encode()
    return words[0].endswith((b"conmon", b"podman")) and any(word.startswith(mark) for word in words)


def _unmount(folder: Path) -> None:
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in sorted((mount for mount in mounts if mount.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", "-l", mount], check=True)
