"""Small AppSpecs, sections and images for tests."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from broker.appspec import AppSpec
from broker.ids import new_id
from broker.messages import AppSection, SealedSecret
from broker.sealing import Opener, seal
from device.reconcile.wanted import Place
from tests.harness.servers import program

DIGEST = "sha256:" + "1" * 64
OTHER_DIGEST = "sha256:" + "2" * 64
PLACE = Place(device="daaaaaaaaaaa", registry="127.0.0.1:5000", intake={})

# The machine's own Python, so that an image need not hold one.
HOST = [
    {"type": "bind", "source": path, "target": path, "read_only": True}
    for path in ("/usr", "/lib", "/lib64", "/etc/alternatives")
    if Path(path).exists()
]
PYTHON = ["/usr/bin/python3", "-c"]


def service(name: str = "web", *, digest: str = DIGEST, **keys: Any) -> dict[str, Any]:
    return {"image": {"repository": f"oaaaaaaaaaaa/aaaaaaaaaaaa/{name}", "digest": digest}} | keys


OPENER = Opener(b"k" * 32)  # the key of the devices that tests play


def sealed(name: str, value: bytes, *, version: int = 1, app: str = "aaaaaaaaaaaa") -> SealedSecret:
    """Return a secret as a device with the key of `OPENER` gets it."""
    return SealedSecret(version=version, sealed=seal(OPENER.public, f"{app}/{name}", value))


def section(
    services: Mapping[str, Any],
    *,
    name: str = "hello",
    instance: str = "iaaaaaaaaaaa",
    in_spec: Mapping[str, Any] | None = None,
    **keys: Any,
) -> AppSection:
    """Return a section with the digest that fits it. `in_spec` are keys of the AppSpec that sections have as well.

    Secrets that are given are declared.
    """
    top: dict[str, Any] = {key: keys.pop(key) for key in ("networks", "volumes") if key in keys}
    top["secrets"] = {name: {} for name in keys.get("secrets", {})}
    spec = AppSpec.model_validate({"name": name, "services": services} | top | dict(in_spec or {}))
    made = AppSection(instance=instance, name=name, app="aaaaaaaaaaaa", release=spec.digest, spec=spec, **keys)
    return made.model_copy(update={"digest": made.computed_digest()})


def busybox_tar(extra: Mapping[str, bytes] | None = None) -> bytes:
    """Return a root file system with nothing but a static busybox, and `extra` files."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        with open(program("busybox"), "rb") as file:
            _add(archive, "bin/busybox", file.read(), 0o755)
        for name, content in (extra or {}).items():
            _add(archive, name, content, 0o644)
    return data.getvalue()


def _add(archive: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), mode
    archive.addfile(info, io.BytesIO(content))


def fresh_device() -> str:
    return new_id("d")
