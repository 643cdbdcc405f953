"""From an app section to exactly what the engine shall hold: names, labels, environment and hashes decided here.

Pure: equal inputs give equal results, so a hash that differs always means that something was changed on purpose.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from typing import Literal

from broker.appspec import Image, Mount, Service
from broker.canonical import digest, digest_of
from broker.host_paths import HostPaths
from broker.messages import AppSection
from broker.policy import Policy
from broker.sealing import about_secret
from device.engine import labels
from device.engine.port import (
    BindOrVolume,
    FileInside,
    WantedContainer,
    WantedNetwork,
    WantedVolume,
    restart_text,
    slot_of,
)

INTAKE_HOST = "skerry-intake"
INTAKE_FOLDER = "/run/skerry"
# Part of every identity, even at their defaults; what mounts may ask besides is told by the service itself.
_MOUNT_IDENTITY = (
    *("type", "target", "source", "read_only", "tmpfs_size"),
    *("tmpfs_mode", "create_host_path", "propagation", "no_copy"),
)
# How a container is started, replaced and ended, and how many there are: no reason to make another one.
_NOT_IN_IT = {"update", "rollback", "replicas", "post_start", "pre_stop", "depends_on", "restart", "ports"}


@dataclass(frozen=True)
class IntakeAccess:
    """What a service of one instance needs to reach the telemetry intake."""

    user: str
    password: str
    stream: str
    socket_folder: str
    tcp_port: int


@dataclass(frozen=True)
class Fitting:
    """What a platform service puts into the containers that ask for it."""

    environment: Mapping[str, str]
    mounts: tuple[BindOrVolume, ...] = ()


Asked = Literal["lock", "redis", "display"]


@dataclass(frozen=True)
class Place:
    """Where apps are put: the device, its registry, what each instance gets, the owner's policy, our folders."""

    device: str
    registry: str
    intake: Mapping[str, IntakeAccess]
    policy: Policy = field(default_factory=Policy)
    ours: tuple[str, ...] = ()
    fittings: Mapping[tuple[str, Asked], Fitting] = field(default_factory=dict)  # by instance
    images: str = ""  # the address of this device's own registry, from which engines pull release manifests

    def name_of(self, image: Image) -> str:
        """Return the name by which the engine knows an image. It is no part of a container's identity: what is in the
        image is, by the service's own words."""
        if image.plain is None:
            return f"{self.registry}/{image.repository}@{image.digest}"
        return f"{self.images}/{image.repository}@{image.plain}"


@dataclass(frozen=True)
class Wanted:
    """One app instance as the engine shall hold it; its containers by slot, which is a service or a replica of one."""

    section: AppSection
    containers: Mapping[str, WantedContainer]
    networks: tuple[WantedNetwork, ...]
    volumes: tuple[WantedVolume, ...]

    @property
    def instance(self) -> str:
        return self.section.instance

    @property
    def images(self) -> tuple[str, ...]:
        return tuple(sorted({container.image for container in self.containers.values()}))


def wanted(section: AppSection, place: Place) -> Wanted:
    """Return what `section` asks of the engine at `place`."""
    return Wanted(
        section=section,
        containers=_containers(section, place),
        networks=tuple(
            _network(section, name, place)
            for name, network in sorted(section.spec.networks.items())
            if not network.external
        ),
        volumes=tuple(
            WantedVolume(
                instance=section.instance,
                name=engine_name(section, name),
                resource=name,
                labels=dict(volume.labels) | _marks(section, place) | {labels.RESOURCE: name},
                options=volume.options,
                host_paths=_host_paths(section, place),
            )
            for name, volume in sorted(section.spec.volumes.items())
            if not volume.external
        ),
    )


def engine_name(section: AppSection, resource: str) -> str:
    """Return a name no other app instance can have: people read the first part, the id makes it unique."""
    return f"{section.name}.{section.instance}.{resource}"  # no name has a dot, so no two read alike


def _network_name(section: AppSection, name: str) -> str:
    return section.spec.networks[name].external or engine_name(section, name)


def _host_paths(section: AppSection, place: Place) -> HostPaths:
    return place.policy.host_paths(section.grants, ours=place.ours)


def _marks(section: AppSection, place: Place) -> dict[str, str]:
    return {labels.DEVICE: place.device, labels.INSTANCE: section.instance}


def _network(section: AppSection, name: str, place: Place) -> WantedNetwork:
    network = section.spec.networks[name]
    identity = digest_of(
        {
            "network": network.model_dump(mode="json", exclude_defaults=True),  # a later field changes no old hash
            "name": name,
            "instance": section.instance,
        }
    )
    marks = _marks(section, place) | {labels.RESOURCE: name, labels.HASH: identity}
    return WantedNetwork(
        instance=section.instance,
        name=engine_name(section, name),
        resource=name,
        internal=network.internal,
        labels=dict(network.labels) | marks,
        options=network.options,
        subnet=network.subnet,
        gateway=network.gateway,
        hash=identity,
        pools=network.pools,
        ipam_options=network.ipam_options,
        enable_ipv6=network.enable_ipv6,
        driver=network.driver,
    )


def _containers(section: AppSection, place: Place) -> dict[str, WantedContainer]:
    """Return the containers by slot. A service that joins another has the other's identity in its own."""
    services = section.spec.services
    made: dict[str, WantedContainer] = {}
    for name in TopologicalSorter({name: service.joins for name, service in services.items()}).static_order():
        joined = {other: made[other] for other in services[name].joins}
        for index in range(1, services[name].replicas + 1):
            container = _container(section, name, place, joined, index=index)
            made[container.slot] = container
    return {slot: made[slot] for slot in sorted(made)}


def _container(
    section: AppSection, name: str, place: Place, joined: Mapping[str, WantedContainer], *, index: int
) -> WantedContainer:
    written = section.spec.services[name]
    service = written if index == 1 else written.model_copy(update={"ports": written.ports_of(index)})
    intake = place.intake.get(section.instance) if service.telemetry.access != "none" else None
    fittings = [place.fittings[key] for what in asked(service) if (key := (section.instance, what)) in place.fittings]
    image = place.name_of(service.image)
    environment = dict(service.environment) | dict(section.variables) | _intake_environment(service, intake)
    for fitting in fittings:
        environment |= fitting.environment
    attachments = {_network_name(section, network): attachment for network, attachment in service.ranked_networks}
    networks = {
        network: (name, *(alias for alias in attachment.aliases if alias != name))
        for network, attachment in attachments.items()
    }
    addresses = {network: (a.ipv4_address, a.ipv6_address) for network, a in attachments.items()}
    extra_hosts = dict(service.extra_hosts)
    if intake is not None and service.telemetry.access == "tcp":
        extra_hosts[INTAKE_HOST] = "host-gateway"
    mounts = tuple(_mount(section, mount) for mount in service.mounts)
    if intake is not None and service.telemetry.access == "socket":
        # The folder, not the socket: a restarted server makes a new socket. Read-only: no app may replace it.
        mounts += (BindOrVolume("bind", INTAKE_FOLDER, source=intake.socket_folder, read_only=True),)
    mounts += tuple(mount for fitting in fittings for mount in fitting.mounts)
    files = _files(section, service)
    identity = digest_of(
        {
            "service": service.model_dump(mode="json", exclude_defaults=True, exclude=_NOT_IN_IT),
            "name": name,
            "instance": section.instance,
            "environment": environment,
            "mounts": [{key: getattr(mount, key) for key in _MOUNT_IDENTITY} for mount in mounts],
            "networks": {network: list(aliases) for network, aliases in networks.items()},
            "extra_hosts": extra_hosts,
        }
        | ({"ports": [port.model_dump(mode="json") for port in service.ports]} if service.ports else {})
        | ({"joined": {other: container.hash for other, container in joined.items()}} if joined else {})
        | ({"files": _file_identities(section, service)} if files else {})
        | ({"attempt": section.attempt} if section.attempt else {})  # another try is another container
    )
    marks = _marks(section, place) | {
        labels.SERVICE: name,
        labels.INDEX: str(index),
        labels.HASH: identity,
        labels.RESTART: restart_text(service.restart),
        labels.RELEASE: section.release,
    }
    return WantedContainer(
        instance=section.instance,
        service=name,
        index=index,
        name=engine_name(section, slot_of(name, index)),
        image=image,
        spec=service,
        environment=environment,
        labels=dict(service.labels) | marks,
        mounts=mounts,
        networks=networks,
        addresses=addresses,
        extra_hosts=extra_hosts,
        hash=identity,
        release=section.release,
        attachments=attachments,
        joined={other: container.name for other, container in joined.items()},
        files=files,
        host_paths=_host_paths(section, place),
    )


def _files(section: AppSection, service: Service) -> tuple[FileInside, ...]:
    placed = [(each, section.spec.configs[each.source].data, "") for each in service.configs]
    placed += [
        (each, section.secrets[each.source].sealed, about_secret(section.app, each.source)) for each in service.secrets
    ]
    return tuple(
        FileInside(path=each.target, data=data, uid=each.uid, gid=each.gid, mode=each.mode, sealed=sealed)
        for each, data, sealed in placed
    )


def _file_identities(section: AppSection, service: Service) -> list[str]:
    """Return what tells files from others. Of a secret it is the version: labels must not let values be guessed."""
    configs = [digest(section.spec.configs[each.source].data) for each in service.configs]
    return configs + [f"{each.source} {section.secrets[each.source].version}" for each in service.secrets]


def asked(service: Service) -> tuple[Asked, ...]:
    """Return the platform services that a service asks for, telemetry aside."""
    wishes: tuple[tuple[Asked, bool], ...] = (
        ("lock", service.lock),
        ("redis", service.redis),
        ("display", service.display != "off"),
    )
    return tuple(what for what, is_asked in wishes if is_asked)


def _intake_environment(service: Service, intake: IntakeAccess | None) -> dict[str, str]:
    if intake is None:
        return {}
    environment = {
        "SKERRY_REDIS_USER": intake.user,
        "SKERRY_REDIS_PASSWORD": intake.password,
        "SKERRY_STREAM": intake.stream,
    }
    account = f"{intake.user}:{intake.password}"
    if service.telemetry.access == "tcp":
        return environment | {
            "SKERRY_REDIS_URL": f"redis://{account}@{INTAKE_HOST}:{intake.tcp_port}/0",
            "SKERRY_REDIS_HOST": INTAKE_HOST,
            "SKERRY_REDIS_PORT": str(intake.tcp_port),
        }
    return environment | {"SKERRY_REDIS_URL": f"unix://{account}@{INTAKE_FOLDER}/redis.sock"}


def _mount(section: AppSection, mount: Mount) -> BindOrVolume:
    source = mount.source
    if mount.type == "volume" and source:
        source = section.spec.volumes[source].external or engine_name(section, source)
    return BindOrVolume(
        type=mount.type,
        target=mount.target,
        source=source,
        read_only=mount.read_only,
        tmpfs_size=mount.tmpfs_size,
        tmpfs_mode=mount.tmpfs_mode,
        create_host_path=mount.type == "bind" and mount.create_host_path,
        propagation=mount.propagation,
        no_copy=mount.no_copy,
        recursive=mount.recursive,
        subpath=mount.subpath,
        tmpfs_uid=mount.tmpfs_uid,
        tmpfs_gid=mount.tmpfs_gid,
        tmpfs_exec=mount.tmpfs_exec,
    )
