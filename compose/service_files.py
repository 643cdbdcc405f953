"""Configs and secrets: what the AppSpec holds of them, and where a service finds them. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from functools import partial

from broker import appspec
from compose.errors import Unsupported
from compose.project import FileReference, FileResource, Project, Service
from compose.specified import specified

FOLDERS = {"configs": "/", "secrets": "/run/secrets"}  # where a target without a folder is


def configs(project: Project, names: Mapping[str, str]) -> dict[str, appspec.File]:
    """Return the configs that have a name in `names`, with their contents; refuse what could not be read."""
    made: dict[str, appspec.File] = {}
    for name, new in names.items():
        data = _content(project, "configs", name, project.configs[name])
        made[new] = specified(("configs", name), partial(appspec.file_of, data))
    return made


def secrets(project: Project, names: Mapping[str, str]) -> tuple[dict[str, appspec.Secret], dict[str, bytes]]:
    """Return the secrets that have a name in `names`, and the values of those that are here.

    An external one has its value in the cloud. Refuses what could not be read or is too large.
    """
    values: dict[str, bytes] = {}
    for name, new in names.items():
        resource = project.secrets[name]
        if resource.external:
            continue
        values[new] = _content(project, "secrets", name, resource)
        if len(values[new]) > appspec.SECRET_BYTES_MAX:
            why = f"the content is {len(values[new])} bytes; a secret has {appspec.SECRET_BYTES_MAX} at most"
            raise Unsupported(why, path=("secrets", name))
    return {new: appspec.Secret() for new in names.values()}, values


def _content(project: Project, section: str, name: str, resource: FileResource) -> bytes:
    data = project.contents.get(f"{section}.{name}")
    if data is None:
        raise Unsupported(_absent(resource), path=(section, name))
    return data


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
