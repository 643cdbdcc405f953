"""What a demo left behind: processes, containers, networks, volumes, images and files that were not there before."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

import docker

from device.engine import labels
from examples.demo.world import image_names

PLACES = (Path("/tmp"), Path("/run"), Path("/var/tmp"), Path.home(), Path.home() / ".config", Path.cwd())  # noqa: S108 - looked at, never written


@dataclass(frozen=True)
class Snapshot:
    """Everything of ours that can be seen on this machine. Processes are known by their mark, the rest by our label."""

    processes: frozenset[str]
    containers: frozenset[str]
    networks: frozenset[str]
    volumes: frozenset[str]
    images: frozenset[str]
    files: frozenset[str]

    def beyond(self, before: Snapshot) -> list[str]:
        """Return what is here and was not there, a word and a name each."""
        return [
            f"{kind} {name}"
            for kind in ("processes", "containers", "networks", "volumes", "images", "files")
            for name in sorted(getattr(self, kind) - getattr(before, kind))
        ]


def look(*, mark: str, device: str, registry: str, state: Path) -> Snapshot:
    """Look at the machine. `state` is the demo's folder: what lies in it does not count."""
    client = docker.APIClient(version="auto")
    mine = {"label": f"{labels.DEVICE}={device}"} if device else {"label": labels.DEVICE}
    try:
        return Snapshot(
            processes=_processes(mark, state),
            containers=frozenset(str(c["Id"])[:12] for c in client.containers(all=True, filters=mine)),
            networks=frozenset(str(n["Name"]) for n in client.networks(filters=mine)),
            volumes=frozenset(str(v["Name"]) for v in client.volumes(filters=mine).get("Volumes") or []),
            images=image_names("hello-", *([f"{registry}/"] if registry else [])),
            files=_files(state),
        )
    finally:
        client.close()


def _processes(mark: str, state: Path) -> frozenset[str]:
    """Return the processes with the mark in their environment or the folder in their command line.

    Whoever their parent is by now; Redis writes its title over its environment, so one sign is not enough.
    """
    found = set()
    wanted = f"SKERRY_WORLD={mark}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            is_ours = str(state) in command or wanted in (folder / "environ").read_bytes().split(b"\0")
            if is_ours and int(folder.name) != os.getpid():
                found.add(f"{folder.name} {command[:80]}")
    return frozenset(found)


def _is_ours(name: str) -> bool:
    """Return whether a file is ours by its name; the state folders of other demos are theirs."""
    return "skerry" in name.lower() and not name.startswith("skerry-demo-")


def _files(state: Path) -> frozenset[str]:
    """Return the entries of the places a careless program would write to, less the demo's own folder."""
    found = set()
    for place in PLACES:
        with contextlib.suppress(OSError):
            found |= {str(entry) for entry in place.iterdir() if entry != state and _is_ours(entry.name)}
    return frozenset(found)
