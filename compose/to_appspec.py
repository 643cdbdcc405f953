"""A project and its published images to an AppSpec. Pure: what a device is told depends on nothing else.

`compose/keys.py` says which keys are refused or ignored; what is left here are values that a key may not have.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from broker import appspec
from broker.ids import NAME_RULE
from compose.errors import ComposeError, Unsupported
from compose.keys import Fate, Judged, judged, judged_top
from compose.project import Project, Service
from compose.resource_spec import network_spec, volume_spec
from compose.running import left_out, running
from compose.service_files import configs, secrets
from compose.service_spec import Renamed, published_ports, service_spec
from compose.specified import specified

_ANY_IMAGE = appspec.Image(repository="any", digest="sha256:" + "0" * 64)
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
Made = TypeVar("Made")


@dataclass(frozen=True)
class Attempt:
    """What came of converting a project: an AppSpec and values of its secrets, or problems; and what is left out."""

    spec: appspec.AppSpec | None
    values: Mapping[str, bytes] = field(repr=False)
    problems: tuple[ComposeError, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Converted:
    """An AppSpec, the values of its secrets that are here, and what was left out of it, one line each."""

    spec: appspec.AppSpec
    values: Mapping[str, bytes] = field(repr=False)
    warnings: tuple[str, ...]


def converted(project: Project, images: Mapping[str, appspec.Image], *, on_this_machine: bool = False) -> Converted:
    """Return the AppSpec of a project whose services have `images`, and warnings; raise `Refused` for what cannot be.

    `on_this_machine` lets services mount files of the project's folder, which exist nowhere else.
    """
    made = _attempt(project, images.get, None if on_this_machine else project.folder)
    if made.spec is None:
        raise made.problems[0]
    return Converted(made.spec, made.values, made.warnings)


def attempt(project: Project, *, on_this_machine: bool = False) -> Attempt:
    """Return what would come of converting a project whose images are not there yet, with all its problems."""
    return _attempt(project, lambda name: _ANY_IMAGE, None if on_this_machine else project.folder)


def check(project: Project, *, on_this_machine: bool = False) -> tuple[str, ...]:
    """Return the warnings of `converted` before there are images; raise `Refused` for what cannot be converted."""
    made = attempt(project, on_this_machine=on_this_machine)
    if made.problems:
        raise made.problems[0]
    return made.warnings


@dataclass
class _Problems:
    """Collects what is wrong, so that one run tells all of it."""

    found: list[ComposeError] = field(default_factory=list)

    def tried(self, make: Callable[[], Made]) -> tuple[Made, ...]:
        """Return the one thing that `make` makes; or nothing, and the problem is noted."""
        try:
            return (make(),)
        except ComposeError as error:
            self.add(error)
            return ()

    def add(self, error: ComposeError) -> None:
        if not any(_is_at_or_below(error.path, known.path) for known in self.found):
            self.found.append(error)


def _is_at_or_below(path: str, known: str) -> bool:
    return path == known or path.startswith((f"{known}.", f"{known}["))


def _attempt(whole: Project, image_of: Callable[[str], appspec.Image | None], local: Path | None) -> Attempt:
    problems = _Problems()
    warnings = [f"services.{name} is not run: it has no replicas" for name in left_out(whole)]
    for key in _judged_keys(whole):
        if key.row.fate is Fate.REFUSED:
            problems.add(Unsupported(f"is refused: {key.row.why}", path=(key.path,)))
        else:
            warnings.append(f"{key.path} is ignored: {key.row.why}")
    spec, values = None, dict[str, bytes]()
    for project in problems.tried(lambda: running(whole)):
        for name, service in project.services.items():
            warnings += _service_warnings(name, service)
        for names in problems.tried(partial(_renamed_all, project)):
            spec, values = _spec(project, names, image_of, local, problems)
    return Attempt(None if problems.found else spec, values, tuple(problems.found), tuple(dict.fromkeys(warnings)))


def _spec(
    project: Project,
    names: Renamed,
    image_of: Callable[[str], appspec.Image | None],
    local: Path | None,
    problems: _Problems,
) -> tuple[appspec.AppSpec | None, dict[str, bytes]]:
    def service(name: str) -> appspec.Service:
        image = image_of(name)
        if image is None:
            raise Unsupported("has no published image; push the app first", path=("services", name, "image"))
        _check_service_name(name)
        return specified(("services", name), partial(service_spec(project, names, local), name, image))

    used = {name for each in project.services.values() for name in each.networks}
    services = {n: made for n in project.services for made in problems.tried(partial(service, n))}
    networks = {
        names.networks[n]: made
        for n, network in project.networks.items()
        if n in used
        for made in problems.tried(partial(network_spec, n, network))
    }
    volumes = {
        names.volumes[n]: made
        for n, volume in project.volumes.items()
        for made in problems.tried(partial(volume_spec, n, volume))
    }
    files = problems.tried(lambda: configs(project, names.configs))
    sealed = problems.tried(lambda: secrets(project, names.secrets))
    if problems.found:
        return None, {}
    declared, values = sealed[0]
    make = partial(
        appspec.AppSpec,
        name=project.name,
        services=services,
        networks=networks,
        volumes=volumes,
        configs=files[0],
        secrets=declared,
    )
    made = problems.tried(lambda: specified((), make))
    return (made[0] if made else None), values


def _judged_keys(project: Project) -> Iterator[Judged]:
    """Yield the keys that are ignored or refused."""
    yield from judged_top(project.rest)
    for name, service in project.services.items():
        yield from judged("services", name, service.plain())
    for section in ("networks", "volumes", "configs", "secrets"):
        parts = getattr(project, section)
        for name in _used(project, section) if section in ("configs", "secrets") else parts:
            plain = parts[name].plain()
            is_implied = plain.get("external") or plain.get("name") == f"{project.name}_{name}"
            yield from judged(section, name, {k: v for k, v in plain.items() if k != "name" or not is_implied})


def _used(project: Project, section: str) -> dict[str, None]:
    """Return the configs or secrets that services use, in a stable order: the others need not be there."""
    used = {each.source for service in project.services.values() for each in getattr(service, section)}
    return dict.fromkeys(sorted(used))


def _service_warnings(name: str, service: Service) -> Iterator[str]:
    for key in sorted(key for key, value in service.environment.items() if value is None):
        yield f"services.{name}.environment.{key} has no value here and is left out"
    if len(published_ports(service)) < len(service.ports):
        yield f"services.{name}.ports is ignored: on the host's network every port is the host's own"


def _check_service_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise Unsupported(f"{name[:80]!r} cannot name a service on a device; use {NAME_RULE}", path=("services", name))


def _renamed_all(project: Project) -> Renamed:
    return Renamed(
        networks=_renamed("networks", project.networks),
        volumes=_renamed("volumes", project.volumes),
        configs=_renamed("configs", _used(project, "configs")),
        secrets=_renamed("secrets", _used(project, "secrets")),
    )


def _renamed(section: str, parts: Mapping[str, object]) -> dict[str, str]:
    """Return the names that networks or volumes have on the device: dots and capitals are replaced."""
    names: dict[str, str] = {}
    for name in parts:
        plain = re.sub(r"[^a-z0-9_-]", "-", name.lower()).lstrip("_-")[:63]
        if not plain or plain in names.values():
            raise Unsupported(f"{name[:80]!r} cannot be told from others; use {NAME_RULE}", path=(section, name))
        names[name] = plain
    return names
