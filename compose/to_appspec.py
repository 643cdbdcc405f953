"""A project and its published images to an AppSpec. Pure: what a device is told depends on nothing else.

`compose/keys.py` says which keys are refused or ignored; what is left here are values that a key may not have.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from broker import appspec
from broker.ids import NAME_RULE
from compose.errors import Unsupported
from compose.keys import Fate, judged
from compose.project import Network, Project, Service, Volume
from compose.service_files import files
from compose.service_spec import Renamed, published_ports, service_spec
from compose.specified import specified

_ANY_IMAGE = appspec.Image(repository="any", digest="sha256:" + "0" * 64)
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


@dataclass(frozen=True)
class Converted:
    """An AppSpec, and what was left out of it, one line each."""

    spec: appspec.AppSpec
    warnings: tuple[str, ...]


def app_spec(
    project: Project, images: Mapping[str, appspec.Image], *, on_this_machine: bool = False
) -> appspec.AppSpec:
    """Return the AppSpec of a project; see `converted`."""
    return converted(project, images, on_this_machine=on_this_machine).spec


def converted(project: Project, images: Mapping[str, appspec.Image], *, on_this_machine: bool = False) -> Converted:
    """Return the AppSpec of a project whose services have `images`, and warnings; raise `Refused` for what cannot be.

    `on_this_machine` lets services mount files of the project's folder, which exist nowhere else.
    """
    warnings = _key_warnings(project)
    names = Renamed(
        networks=_renamed("networks", project.networks),
        volumes=_renamed("volumes", project.volumes),
        configs=_renamed("configs", _used(project, "configs")),
        secrets=_renamed("secrets", _used(project, "secrets")),
    )
    used = {name for service in project.services.values() for name in service.networks}
    services: dict[str, appspec.Service] = {}
    for name, service in project.services.items():
        image = images.get(name)
        if image is None:
            raise Unsupported("has no published image; push the app first", path=("services", name, "image"))
        _check_service_name(name)
        warnings += [f"services.{name}.environment.{key} has no value here and is left out" for key in _unset(service)]
        if len(published_ports(service)) < len(service.ports):
            warnings.append(f"services.{name}.ports is ignored: on the host's network every port is the host's own")
        make = service_spec(project, names, None if on_this_machine else project.folder)
        services[name] = specified(("services", name), partial(make, name, image))
    spec = specified(
        (),
        lambda: appspec.AppSpec(
            name=project.name,
            services=services,
            networks={
                names.networks[name]: _network(name, network)
                for name, network in project.networks.items()
                if name in used
            },
            volumes={names.volumes[name]: _volume(name, volume) for name, volume in project.volumes.items()},
            configs=files(project, "configs", names.configs),
            secrets=files(project, "secrets", names.secrets),
        ),
    )
    return Converted(spec, tuple(dict.fromkeys(warnings)))


def check(project: Project, *, on_this_machine: bool = False) -> tuple[str, ...]:
    """Return the warnings of `converted` before there are images; raise `Refused` for what cannot be converted."""
    return converted(project, dict.fromkeys(project.services, _ANY_IMAGE), on_this_machine=on_this_machine).warnings


def _key_warnings(project: Project) -> list[str]:
    """Return a line for each key that is ignored; raise `Unsupported` for the first that is refused."""
    warnings: list[str] = []
    for name, service in project.services.items():
        warnings += _checked("services", name, service.plain())
    for section in ("networks", "volumes", "configs", "secrets"):
        parts = getattr(project, section)
        for name in _used(project, section) if section in ("configs", "secrets") else parts:
            plain = parts[name].plain()
            own = {key: value for key, value in plain.items() if key != "name" or not _implied(project, name, value)}
            warnings += _checked(section, name, own)
    return warnings


def _used(project: Project, section: str) -> dict[str, None]:
    """Return the configs or secrets that services use, in a stable order: the others need not be there."""
    used = {each.source for service in project.services.values() for each in getattr(service, section)}
    return dict.fromkeys(sorted(used))


def _implied(project: Project, name: str, value: object) -> bool:
    return value == f"{project.name}_{name}"


def _checked(section: str, name: str, part: Mapping[str, object]) -> list[str]:
    lines: list[str] = []
    for key in judged(section, name, part):  # type: ignore[arg-type]
        if key.row.fate is Fate.REFUSED:
            raise Unsupported(f"is refused: {key.row.why}", path=(key.path,))
        lines.append(f"{key.path} is ignored: {key.row.why}")
    return lines


def _unset(service: Service) -> list[str]:
    return sorted(key for key, value in service.environment.items() if value is None)


def _check_service_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise Unsupported(f"{name[:80]!r} cannot name a service on a device; use {NAME_RULE}", path=("services", name))


def _renamed(section: str, parts: Mapping[str, object]) -> dict[str, str]:
    """Return the names that networks or volumes have on the device: dots and capitals are replaced."""
    names: dict[str, str] = {}
    for name in parts:
        plain = re.sub(r"[^a-z0-9_-]", "-", name.lower()).lstrip("_-")[:63]
        if not plain or plain in names.values():
            raise Unsupported(f"{name[:80]!r} cannot be told from others; use {NAME_RULE}", path=(section, name))
        names[name] = plain
    return names


def _network(name: str, network: Network) -> appspec.Network:
    path = ("networks", name)
    if network.driver not in ("", "bridge", "default"):
        raise Unsupported(
            f"the driver {network.driver[:40]!r} does not run on one device; use bridge", path=(*path, "driver")
        )
    if network.ipam.driver not in ("", "default"):
        raise Unsupported("must be default", path=(*path, "ipam", "driver"))
    if not network.enable_ipv4:
        raise Unsupported("must be true", path=(*path, "enable_ipv4"))
    blocks = network.ipam.config
    for at, block in enumerate(blocks):
        if not block.subnet:
            raise Unsupported("needs a subnet", path=(*path, "ipam", "config", at))
    simple = len(blocks) == 1 and not blocks[0].ip_range and not blocks[0].aux_addresses
    pools = [
        specified(
            (*path, "ipam", "config", at),
            partial(
                appspec.Pool,
                subnet=block.subnet,
                gateway=block.gateway,
                ip_range=block.ip_range,
                aux_addresses=block.aux_addresses,
            ),
        )
        for at, block in enumerate(blocks)
    ]
    return specified(
        path,
        lambda: appspec.Network(
            internal=network.internal,
            labels=network.labels,
            options=network.driver_opts,
            subnet=pools[0].subnet if simple else "",
            gateway=pools[0].gateway if simple else "",
            pools=() if simple else tuple(pools),
            ipam_options=network.ipam.options,
            enable_ipv6=network.enable_ipv6,
        ),
    )


def _volume(name: str, volume: Volume) -> appspec.Volume:
    if volume.driver not in ("", "local", "default"):
        message = f"the driver {volume.driver[:40]!r} is not on devices; use local"
        raise Unsupported(message, path=("volumes", name, "driver"))
    return specified(("volumes", name), lambda: appspec.Volume(options=volume.driver_opts, labels=volume.labels))
