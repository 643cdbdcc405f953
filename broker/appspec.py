"""The AppSpec: an app as it travels, canonical and complete, so that a device has nothing left to decide.

Every field is one that an engine understands (Engine API 1.41, or the one it names); a field this version does not know
is refused, because running an app without it would run another app. The digest of its canonical form is the identity of
a release. Durations are milliseconds, sizes bytes, CPU shares nano-CPUs: integers only, so that the form is canonical.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from broker.appspec_files import FILE_BYTES_MAX, SECRET_BYTES_MAX, File, Placed, Secret, file_of
from broker.appspec_life import Dependency, Healthcheck, Hook, Restart, Switch
from broker.appspec_limits import Blkio, DeviceRate, DeviceRequest, DeviceWeight, Ulimit
from broker.appspec_network import Attachment, Network, Pool
from broker.appspec_service import REPLICAS_MAX, Image, Logging, PublishedPort, Repository, Service, Telemetry
from broker.appspec_storage import Mount, Volume
from broker.appspec_values import LABEL_PREFIX, Spec, later
from broker.canonical import digest_of
from broker.circles import dependency_cycle
from broker.ids import Name

__all__ = [  # its parts too, so that who reads or makes an AppSpec imports this alone
    "FILE_BYTES_MAX",
    "LABEL_PREFIX",
    "REPLICAS_MAX",
    "SECRET_BYTES_MAX",
    "AppSpec",
    "Attachment",
    "Blkio",
    "Dependency",
    "DeviceRate",
    "DeviceRequest",
    "DeviceWeight",
    "File",
    "Healthcheck",
    "Hook",
    "Image",
    "Logging",
    "Mount",
    "Network",
    "Placed",
    "Pool",
    "PublishedPort",
    "Repository",
    "Restart",
    "Secret",
    "Service",
    "Switch",
    "Telemetry",
    "Ulimit",
    "Volume",
    "file_of",
]

SERVICES_MAX = 128
CONTAINERS_MAX = 256  # all replicas of all services
FILES_BYTES_MAX = 48 * 1024  # all configs of an app together
SECRETS_MAX = 64


class AppSpec(Spec):
    """A whole app: what a release is made of."""

    v: Literal[1] = 1
    name: Name
    services: Annotated[Mapping[Name, Service], Field(min_length=1, max_length=SERVICES_MAX)]
    networks: Mapping[Name, Network] = {}
    volumes: Mapping[Name, Volume] = {}
    configs: Mapping[Name, File] = later({})
    secrets: Annotated[Mapping[Name, Secret], Field(max_length=SECRETS_MAX)] = later({})

    @model_validator(mode="after")
    def _references_hold(self) -> AppSpec:
        for name, service in self.services.items():
            for problem in self._problems(service):
                raise ValueError(f"services.{name}{problem}")
        cycle = dependency_cycle({name: tuple(service.depends_on) for name, service in self.services.items()})
        if cycle:
            raise ValueError(f"depends_on goes in a circle: {' -> '.join(cycle)}")
        containers = sum(service.replicas for service in self.services.values())
        if containers > CONTAINERS_MAX:
            raise ValueError(f"the replicas of all services are {containers} containers; {CONTAINERS_MAX} may be")
        total = sum(len(file.data) for file in self.configs.values())
        if total > FILES_BYTES_MAX:
            raise ValueError(f"configs are {total} bytes together; {FILES_BYTES_MAX} may travel")
        return self

    def _problems(self, service: Service) -> Iterator[str]:
        for other, dependency in service.depends_on.items():
            if other not in self.services and dependency.required:
                yield f".depends_on: there is no service {other!r}"
        for network in service.networks:
            if network not in self.networks:
                yield f".networks: there is no network {network!r}"
        for mount in service.mounts:
            if mount.type == "volume" and mount.source and mount.source not in self.volumes:
                yield f".volumes: there is no volume {mount.source!r}"
        yield from self._joining_problems(service)
        yield from self._file_problems(service)

    def _joining_problems(self, service: Service) -> Iterator[str]:
        for other in service.joins:
            if other not in self.services:
                yield f": it joins service {other!r}, which is not there"
            elif other not in service.depends_on:
                yield f": it joins service {other!r}, so it must depend on it"
        if service.ipc.startswith("service:"):
            other = service.ipc.partition(":")[2]
            if other in self.services and self.services[other].ipc != "shareable":
                yield f".ipc: service {other!r} must have ipc: shareable"

    def _file_problems(self, service: Service) -> Iterator[str]:
        declared: tuple[tuple[str, Collection[str], Sequence[Placed]], ...] = (
            ("configs", self.configs, service.configs),
            ("secrets", self.secrets, service.secrets),
        )
        for kind, known, placed in declared:
            for file in placed:
                if file.source not in known:
                    yield f".{kind}: there is no {kind.removesuffix('s')} {file.source!r}"

    def plain(self) -> dict[str, object]:
        """Return the canonical plain form: defaults left out, so that a later field does not change old digests."""
        return self.model_dump(mode="json", exclude_defaults=True) | {"v": self.v}

    @property
    def digest(self) -> str:
        return digest_of(self.plain())
