"""Everything of a project that a device would refuse, not only the first of it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from compose.errors import ComposeError, Unsupported
from compose.keys import Fate, judged
from compose.project import Project, Service
from compose.publish_plan import plan
from compose.skerry_keys import NOT_YET
from compose.to_appspec import check


@dataclass(frozen=True)
class Refusal:
    """One key that a device would refuse: where it is in the project, and why."""

    path: str
    why: str


@dataclass(frozen=True)
class Verdict:
    """What would become of a project on a device."""

    refused: tuple[Refusal, ...]
    ignored: tuple[str, ...]


def verdict(project: Project) -> Verdict:
    """Return all that would be refused or ignored. Nothing is refused where the project could be pushed."""
    found: dict[str, Refusal] = {}
    for refusal in (*_keys(project), *_starts(project)):
        found.setdefault(refusal.path, refusal)
    ignored: tuple[str, ...] = ()
    try:
        refuse_what_is_not_carried_out(project)
        plan(project)
        ignored = check(project)
    except ComposeError as error:  # a value, or what else only shows when all is converted
        if not any(error.path.startswith(path) for path in found):
            found[error.path] = Refusal(error.path, error.message)
        ignored = tuple(_ignored(project))
    return Verdict(tuple(found.values()), ignored)


def refuse(project: Project) -> tuple[str, ...]:
    """Return what a device would ignore; raise `Unsupported` for the first thing that it would refuse."""
    found = verdict(project)
    if found.refused:
        first = found.refused[0]
        raise Unsupported(first.why, path=(first.path,))
    return found.ignored


def _sections(project: Project) -> Iterator[tuple[str, str, dict[str, object]]]:
    for name, service in project.services.items():
        yield "services", name, dict(service.plain())
    for section, parts in (("networks", project.networks), ("volumes", project.volumes)):
        for name, part in parts.items():
            plain: Mapping[str, object] = part.plain()
            yield section, name, {k: v for k, v in plain.items() if (k, v) != ("name", f"{project.name}_{name}")}


def _keys(project: Project) -> Iterator[Refusal]:
    for section, name, plain in _sections(project):
        for key in judged(section, name, plain):  # type: ignore[arg-type]
            if key.row.fate is Fate.REFUSED:
                yield Refusal(key.path, f"is refused: {key.row.why}")


def _ignored(project: Project) -> Iterator[str]:
    for section, name, plain in _sections(project):
        for key in judged(section, name, plain):  # type: ignore[arg-type]
            if key.row.fate is Fate.IGNORED:
                yield f"{key.path} is ignored: {key.row.why}"


def _starts(project: Project) -> Iterator[Refusal]:
    """Yield the services whose next version cannot start before this one has ended, although they ask for it."""
    for name, service in project.services.items():
        if _order(service) == "start-first" and any(port.published for port in service.ports):
            why = "is refused: start-first needs the host's port twice; do not publish one, or use stop-first"
            yield Refusal(f"services.{name}.deploy.update_config.order", why)


def _order(service: Service) -> object:
    deploy = service.plain().get("deploy")
    update = deploy.get("update_config") if isinstance(deploy, dict) else None
    return update.get("order") if isinstance(update, dict) else None


def refuse_what_is_not_carried_out(project: Project) -> None:
    """Raise `Unsupported` for the first key of `x-skerry` that asks for what this version cannot do."""
    for name, service in project.services.items():
        for key, value in (service.skerry.plain() if service.skerry else {}).items():
            if key in NOT_YET and value not in (False, "off"):
                raise Unsupported(f"is refused: {NOT_YET[key]}", path=("services", name, "x-skerry", key))
