"""What `skerry app check` says: what runs, what is refused where and why, what is ignored. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cloud.cli.answers import Device
from cloud.cli.render import printable
from compose.locate import written_at
from compose.project import Project
from compose.refusals import Refusal, Verdict
from compose.tree import Table

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "armv6l": "arm", "i686": "386"}


@dataclass(frozen=True)
class Checked:
    """A project, what would become of it, its files as written, and the device it is meant for."""

    project: Project
    verdict: Verdict
    documents: Sequence[Table]
    device: Device | None = None

    @property
    def refused(self) -> tuple[Refusal, ...]:
        return (*self.verdict.refused, *_for_another_machine(self.project, self.device))

    @property
    def warnings(self) -> tuple[str, ...]:
        return (*self.project.warnings, *self.verdict.ignored)


def check_document(checked: Checked) -> dict[str, Any]:
    """Return all of it for programs."""
    places = [(refusal, written_at(refusal.path, checked.documents)) for refusal in checked.refused]
    document: dict[str, Any] = {
        "name": checked.project.name,
        "services": sorted(checked.project.services),
        "runs": sorted(_running(checked)),
        "refused": [
            {"key": refusal.path, "why": refusal.why, "file": place.file or None, "line": place.line or None}
            for refusal, place in places
        ],
        "warnings": list(checked.warnings),
    }
    if checked.device is not None:
        document["device"] = _machine(checked.device)
    if checked.refused:  # as every command says that it failed
        first = checked.refused[0]
        document["error"] = {"reason": "compose_unsupported", "message": f"{first.path}: {first.why}", "hint": None}
    return document


def check_lines(checked: Checked) -> Iterator[str]:
    """Yield all of it for people; warnings go elsewhere."""
    for refusal in checked.refused:
        place = written_at(refusal.path, checked.documents)
        yield printable(f"{place}: {refusal.path}: {refusal.why}" if place.line else f"{refusal.path}: {refusal.why}")
    if checked.device is not None:
        machine = _machine(checked.device)
        yield printable(
            f"{machine['name']}: {machine['engine'] or 'unknown engine'}, {machine['arch'] or 'unknown architecture'};"
            " what its owner allows is in its device.toml, and the device does not tell"
        )
    name = checked.project.name
    running = len(_running(checked))
    ignored = (
        f"; {len(checked.warnings)} warning{'' if len(checked.warnings) == 1 else 's'}" if checked.warnings else ""
    )
    if checked.refused:
        yield f"{name}: refused; {running} of {len(checked.project.services)} services could run{ignored}"
    else:
        yield f"{name}: {running} service{'' if running == 1 else 's'} can run on a device{ignored}"


def _running(checked: Checked) -> list[str]:
    """Return the services of which nothing is refused."""
    paths = [refusal.path for refusal in checked.refused]
    return [
        name
        for name in checked.project.services
        if not any(path == f"services.{name}" or path.startswith(f"services.{name}.") for path in paths)
    ]


def _machine(device: Device) -> dict[str, Any]:
    host = device.host or {}
    engine = f"{host.get('engine') or ''} {host.get('engine_version') or ''}".strip()
    return {
        "name": device.name,
        "os": host.get("os"),
        "arch": host.get("arch"),
        "engine": engine or None,
        "policy": None,
    }


def _for_another_machine(project: Project, device: Device | None) -> Iterator[Refusal]:
    """Yield the services that are for another architecture than the device has."""
    arch = str((device.host or {}).get("arch") or "") if device else ""
    wanted = _ARCHITECTURES.get(arch, arch)
    for name, service in project.services.items():
        parts = service.platform.split("/")
        if wanted and len(parts) > 1 and parts[1] != wanted:
            why = f"is refused: the image is for {parts[1]}, and the device has {wanted}"
            yield Refusal(f"services.{name}.platform", why)
