"""What `skerry app check` says: what runs, what is refused where and why, what owners decide. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from broker.policy import Denied
from cloud.cli.check_against import Target, engine_needs, needs
from cloud.cli.render import printable
from compose.locate import written_at
from compose.project import Project
from compose.refusals import Refusal, Verdict
from compose.tree import Table


@dataclass(frozen=True)
class Checked:
    """A project, what would become of it, its files as written, the device it is meant for, and what that refuses."""

    project: Project
    verdict: Verdict
    documents: Sequence[Table]
    target: Target | None = None
    refused_there: tuple[Refusal, ...] = ()

    @property
    def refused(self) -> tuple[Refusal, ...]:
        return (*self.verdict.refused, *self.refused_there)

    @property
    def warnings(self) -> tuple[str, ...]:
        return (*self.project.warnings, *self.verdict.ignored)

    @property
    def needs(self) -> list[Denied]:
        """What some owner has to allow: told where no policy has been asked."""
        asked = self.target is not None and self.target.policy is not None
        return [] if asked or self.verdict.spec is None else needs(self.verdict.spec)

    @property
    def engine_needs(self) -> list[tuple[str, str]]:
        """What not every engine carries out: told where no engine has been asked."""
        asked = self.target is not None and self.target.engine and self.target.api
        return [] if asked or self.verdict.spec is None else list(engine_needs(self.verdict.spec))


def check_document(checked: Checked) -> dict[str, Any]:
    """Return all of it for programs."""
    document: dict[str, Any] = {
        "name": checked.project.name,
        "services": sorted(checked.project.services),
        "runs": sorted(_running(checked)),
        "replicas": _replicas(checked),
        "refused": [{"key": each.path, "why": each.why} | _place(checked, each.path) for each in checked.refused],
        "needs": [
            {"key": each.path, "what": each.what, "row": each.row} | _place(checked, each.path)
            for each in checked.needs
        ],
        "engine": [{"key": key, "needs": what} | _place(checked, key) for key, what in checked.engine_needs],
        "warnings": list(checked.warnings),
        "device": None if checked.target is None else checked.target.plain(),
    }
    if checked.refused:  # as every command says that it failed
        first = checked.refused[0]
        document["error"] = {"reason": "compose_unsupported", "message": f"{first.path}: {first.why}", "hint": None}
    return document


def _place(checked: Checked, path: str) -> dict[str, Any]:
    place = written_at(path, checked.documents)
    return {"file": place.file or None, "line": place.line or None}


def _replicas(checked: Checked) -> dict[str, int]:
    spec = checked.verdict.spec
    return {} if spec is None else {name: service.replicas for name, service in sorted(spec.services.items())}


def check_lines(checked: Checked) -> Iterator[str]:
    """Yield all of it for people; warnings go elsewhere."""
    for refusal in checked.refused:
        yield _line(checked, refusal.path, refusal.why)
    for denied in checked.needs:
        yield _line(checked, denied.path, f"{denied.what} unless the device's owner allows it (policy.{denied.row})")
    for key, what in checked.engine_needs:
        yield _line(checked, key, f"needs {what}")
    if checked.target is not None:
        yield printable(_target_line(checked.target))
    running = _running(checked)
    told = f"; {len(checked.warnings)} warning{'' if len(checked.warnings) == 1 else 's'}" if checked.warnings else ""
    name = checked.project.name
    if checked.refused:
        yield f"{name}: refused; {len(running)} of {len(checked.project.services)} services could run{told}"
        return
    where = checked.target.name if checked.target is not None and checked.target.name else "a device"
    yield printable(f"{name}: {_services(checked)} can run on {where}{told}")


def _line(checked: Checked, path: str, what: str) -> str:
    place = written_at(path, checked.documents)
    return printable(": ".join(part for part in (str(place) if place.line else "", path, what) if part))


def _target_line(target: Target) -> str:
    if not target.name:
        return "held against a policy; which engine and architecture the device has is not known"
    engine = f"{target.engine} {target.engine_version}".strip() or "unknown engine"
    api = f" (API {target.api})" if target.api else ""
    policy = "has not told its owner's policy"
    if target.policy is not None:
        rows = sorted({row for row, _ in target.policy.entries()} & target.policy.model_fields_set)
        policy = f"its owner sets {', '.join(rows)}" if rows else "its owner has set nothing: the defaults hold"
    return f"{target.name}: {engine}{api}, {target.arch or 'unknown architecture'}; {policy}"


def _services(checked: Checked) -> str:
    """Return what runs, in numbers: services, and containers where they are more."""
    counts = _replicas(checked)
    services, containers = len(counts), sum(counts.values())
    text = f"{services} service{'' if services == 1 else 's'}"
    return text if containers == services else f"{text} in {containers} containers"


def _running(checked: Checked) -> list[str]:
    """Return the services of which nothing is refused."""
    paths = [refusal.path for refusal in checked.refused]
    if "" in paths:
        return []
    return [
        name
        for name in checked.project.services
        if not any(path == f"services.{name}" or path.startswith(f"services.{name}.") for path in paths)
    ]
