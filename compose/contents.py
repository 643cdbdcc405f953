"""What configs and secrets hold on the developer's machine: files and variables, read when the project is loaded."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping

from broker.appspec import FILE_BYTES_MAX
from compose.project import FileResource, Project


def read_contents(project: Project, variables: Mapping[str, str]) -> dict[str, bytes]:
    """Return the contents by `configs.NAME` and `secrets.NAME`, of those that are used and can be read.

    A file is read only as far as shows that it is too large. What cannot be read is left out: printing a project needs
    no contents, and converting it refuses what is missing.
    """
    contents: dict[str, bytes] = {}
    for section, resources in (("configs", project.configs), ("secrets", project.secrets)):
        used = {each.source for service in project.services.values() for each in getattr(service, section)}
        if section == "secrets":
            builds = [service.build for service in project.services.values() if service.build]
            used |= {each.source for build in builds for each in build.secrets if resources[each.source].environment}
        for name in sorted(used & resources.keys()):
            data = _content(resources[name], variables)
            if data is not None:
                contents[f"{section}.{name}"] = data
    return contents


def _content(resource: FileResource, variables: Mapping[str, str]) -> bytes | None:
    if resource.external:
        return None
    if resource.content is not None:
        return resource.content.encode()
    if resource.environment:
        value = variables.get(resource.environment)
        return None if value is None else value.encode(errors="surrogateescape")
    return _file(resource.file)


def _file(path: str) -> bytes | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe must not hold us up
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    with open(descriptor, "rb") as file:
        return file.read(FILE_BYTES_MAX + 1)
