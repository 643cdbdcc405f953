"""Configs and secrets: their contents for the AppSpec, and where a service finds them. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from functools import partial

from broker import appspec
from compose.errors import Unsupported
from compose.project import FileReference, FileResource, Project, Service
from compose.specified import specified

FOLDERS = {"configs": "/", "secrets": "/run/secrets"}  # where a target without a folder is


def files(project: Project, section: str, names: Mapping[str, str]) -> dict[str, appspec.File]:
    """Return the contents of the configs or secrets that have a name in `names`; refuse what could not be read."""
    resources: Mapping[str, FileResource] = getattr(project, section)
    made: dict[str, appspec.File] = {}
    for name, new in names.items():
        data = project.contents.get(f"{section}.{name}")
        if data is None:
            raise Unsupported(_absent(resources[name]), path=(section, name))
        made[new] = specified((section, name), partial(appspec.file_of, data))
    return made


def _absent(resource: FileResource) -> str:
    if resource.environment:
        return f"the variable {resource.environment[:80]} has no value here; set it"
    return f"{resource.file} cannot be read here; a file must be there when the app is pushed"


def placed(name: str, section: str, service: Service, names: Mapping[str, str]) -> tuple[appspec.Placed, ...]:
    """Return where a service finds its configs or secrets."""
    references: tuple[FileReference, ...] = getattr(service, section)
    return tuple(_placed(each, ("services", name, section, at), names) for at, each in enumerate(references))


def _placed(reference: FileReference, path: tuple[str | int, ...], names: Mapping[str, str]) -> appspec.Placed:
    for key in ("uid", "gid"):
        value = getattr(reference, key)
        if value and not (value.isascii() and value.isdecimal()):
            raise Unsupported(f"{value[:40]!r} must be a number: names are the image's own", path=(*path, key))
    target = posixpath.join(FOLDERS[str(path[2])], reference.target or reference.source)
    make = partial(
        appspec.Placed,
        source=names[reference.source],
        target=target,
        uid=int(reference.uid or 0),
        gid=int(reference.gid or 0),
        mode=0o444 if reference.mode is None else reference.mode,
    )
    return specified(path, make)
