"""What this device has, what it lacks, and what its engine does not carry out. Looks only."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass

from broker.errors import Passing, Refused
from device.config import Owner, Paths, read_identity, read_owner
from device.engine.docker import DockerEngine
from device.engine.limits import PODMAN_DIFFERS
from device.engine.port import EngineInfo

PROGRAMS = (("redis-server", "redis-server"), ("setpriv", "util-linux"))
HOW = "start Docker, or Podman's socket (systemctl enable --now podman.socket), or name another one in device.toml"


@dataclass(frozen=True)
class Finding:
    """One line; `details` are what there is to know besides."""

    what: str
    ok: bool
    message: str
    details: tuple[str, ...] = ()

    def plain(self) -> dict[str, object]:
        told: dict[str, object] = {"what": self.what, "ok": self.ok, "message": self.message}
        return told | ({"details": list(self.details)} if self.details else {})


def findings(paths: Paths) -> Iterator[Finding]:
    """Yield what was found, in the order in which a device needs it."""
    for program, package in PROGRAMS:
        where = shutil.which(program)
        yield Finding(program, where is not None, where or f"install the package {package}")
    try:
        owner = read_owner(paths.owner)
    except Refused as error:
        yield Finding("device.toml", False, str(error))
    else:
        yield Finding("device.toml", True, "read" if paths.owner.exists() else "none: defaults hold")
        yield from _engine(owner)
    try:
        identity, _ = read_identity(paths)
        yield Finding("identity", True, f"{identity.name} ({identity.device})")
    except Refused as error:
        yield Finding("identity", False, str(error))


def _engine(owner: Owner) -> Iterator[Finding]:
    engine = DockerEngine(device="none", url=owner.engine)
    try:
        info = engine.info()
    except (Passing, Refused) as error:
        yield Finding("engine", False, f"{engine.address}: {error}; {HOW}")
        return
    finally:
        engine.close()
    told = f"{info.name} {info.version}, API {info.api}, {info.arch}, at {info.address}"
    yield Finding("engine", True, told)
    yield from _limits(info)


def _limits(info: EngineInfo) -> Iterator[Finding]:
    if info.cannot:
        yield Finding("not carried out", True, f"{len(info.cannot)} keys: apps with one are refused", info.cannot)
    if info.name == "podman":
        details = tuple(f"{what}: {how}" for what, how in PODMAN_DIFFERS)
        yield Finding("different", True, f"{len(details)} keys mean a little else on Podman", details)
