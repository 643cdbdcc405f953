"""The project: a whole Compose app in canonical, typed form. Durations are milliseconds, sizes bytes.

Keys that nothing here reads have no field; they are kept in `rest`, canonical too, so that nothing is lost unseen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from compose.tree import Plain


class Part(BaseModel):
    """Base of all parts: frozen, and keeping what it has no field for."""

    model_config = ConfigDict(frozen=True, extra="allow", protected_namespaces=())

    @property
    def rest(self) -> Mapping[str, Plain]:
        """The keys without a field of their own."""
        return self.model_extra or {}

    @property
    def given(self) -> frozenset[str]:
        """The keys that the project gives, or that Compose implies."""
        return frozenset(self.model_fields_set)

    def plain(self) -> dict[str, Plain]:
        """Return the canonical plain form."""
        return self.model_dump(mode="json", exclude_unset=True, by_alias=True)


class FileReference(Part):
    source: str
    target: str = ""
    uid: str = ""
    gid: str = ""
    mode: int | None = None


class UlimitPair(Part):
    soft: int
    hard: int


class Build(Part):
    """How a service's image is made. `context` is an absolute path or an address."""

    context: str = ""
    dockerfile: str = ""
    dockerfile_inline: str = ""
    args: Mapping[str, str | None] = {}
    labels: Mapping[str, str] = {}
    target: str = ""
    network: str = ""
    cache_from: tuple[str, ...] = ()
    no_cache: bool = False
    pull: bool = False
    shm_size: int | None = None
    extra_hosts: Mapping[str, tuple[str, ...]] = {}
    platforms: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    additional_contexts: Mapping[str, str] = {}
    secrets: tuple[FileReference, ...] = ()
    ssh: Mapping[str, str] = {}
    ulimits: Mapping[str, UlimitPair | int] = {}
    entitlements: tuple[str, ...] = ()
    privileged: bool = False
    no_cache_filter: tuple[str, ...] = ()


class Port(Part):
    target: int
    published: str = ""
    host_ip: str = ""
    protocol: str = "tcp"
    mode: str = "ingress"


class BindOptions(Part):
    propagation: str = ""
    create_host_path: bool = True
    recursive: str = ""
    selinux: str = ""


class VolumeOptions(Part):
    nocopy: bool = False
    subpath: str = ""
    labels: Mapping[str, str] = {}


class TmpfsOptions(Part):
    size: int | None = None
    mode: int | None = None


class Mount(Part):
    type: str
    target: str
    source: str = ""
    read_only: bool = False
    consistency: str = ""
    bind: BindOptions = BindOptions()
    volume: VolumeOptions = VolumeOptions()
    tmpfs: TmpfsOptions = TmpfsOptions()


class Device(Part):
    source: str
    target: str = ""
    permissions: str = "rwm"


class Dependency(Part):
    condition: str
    required: bool = True
    restart: bool = False


class Healthcheck(Part):
    disable: bool = False
    test: tuple[str, ...] = ()
    interval: int | None = None
    timeout: int | None = None
    start_period: int | None = None
    start_interval: int | None = None
    retries: int | None = None


class Attachment(Part):
    aliases: tuple[str, ...] = ()
    ipv4_address: str = ""
    ipv6_address: str = ""
    link_local_ips: tuple[str, ...] = ()
    mac_address: str = ""
    interface_name: str = ""
    driver_opts: Mapping[str, str] = {}
    priority: int | float = 0
    gw_priority: int | float = 0


class Logging(Part):
    driver: str = ""
    options: Mapping[str, str] = {}


class DeviceWeight(Part):
    path: str = ""
    weight: int = 0


class DeviceRate(Part):
    path: str = ""
    rate: int = 0


class Blkio(Part):
    weight: int = 0
    weight_device: tuple[DeviceWeight, ...] = ()
    device_read_bps: tuple[DeviceRate, ...] = ()
    device_read_iops: tuple[DeviceRate, ...] = ()
    device_write_bps: tuple[DeviceRate, ...] = ()
    device_write_iops: tuple[DeviceRate, ...] = ()


class DeviceRequest(Part):
    """Devices that a driver hands out. `count` -1 is all of them."""

    driver: str = ""
    count: int | None = None
    device_ids: tuple[str, ...] = ()
    capabilities: tuple[str, ...] = ()
    options: Mapping[str, str] = {}


class Limits(Part):
    cpus: float | None = None
    memory: int | None = None
    pids: int | None = None


class Reservations(Part):
    memory: int | None = None
    devices: tuple[DeviceRequest, ...] = ()


class Resources(Part):
    limits: Limits = Limits()
    reservations: Reservations = Reservations()


class RestartPolicy(Part):
    condition: str = "any"
    delay: int | None = None
    max_attempts: int | None = None
    window: int | None = None


class Switch(Part):
    """`update_config` and `rollback_config`."""

    order: str = ""
    parallelism: int | None = None
    delay: int | None = None
    failure_action: str = ""
    monitor: int | None = None
    max_failure_ratio: int | float = 0


class Deploy(Part):
    mode: str = ""
    replicas: int | None = None
    labels: Mapping[str, str] = {}
    resources: Resources = Resources()
    restart_policy: RestartPolicy | None = None
    update_config: Switch | None = None
    rollback_config: Switch | None = None


class Hook(Part):
    """A command in a container that runs; with `pre_start` in one of its own, of `image`, before the service starts."""

    command: tuple[str, ...] | None = None
    user: str = ""
    privileged: bool = False
    working_dir: str = ""
    environment: Mapping[str, str | None] = {}
    image: str = ""
    per_replica: bool = False


class Skerry(Part):
    """What only Skerry knows: `x-skerry` of a service."""

    telemetry: Literal["none", "socket", "tcp"] = "none"
    redis: bool = False
    display: Literal["off", "auto", "require"] = "off"
    lock: bool = False


class Service(Part):
    """One service. Every key of the Compose Specification that Skerry reads is a field; the others are in `rest`."""

    image: str = ""
    build: Build | None = None
    platform: str = ""
    pull_policy: str = ""
    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    environment: Mapping[str, str | None] = {}
    user: str = ""
    working_dir: str = ""
    hostname: str = ""
    domainname: str = ""
    container_name: str = ""
    init: bool | None = None
    tty: bool = False
    stdin_open: bool = False
    read_only: bool = False
    privileged: bool = False
    labels: Mapping[str, str] = {}
    ports: tuple[Port, ...] = ()
    expose: tuple[str, ...] = ()
    volumes: tuple[Mount, ...] = ()
    tmpfs: tuple[str, ...] = ()
    networks: Mapping[str, Attachment | None] = {}
    network_mode: str = ""
    pid: str | None = None
    ipc: str = ""
    uts: str = ""
    userns_mode: str = ""
    cgroup: str = ""
    cgroup_parent: str = ""
    links: tuple[str, ...] = ()
    depends_on: Mapping[str, Dependency] = {}
    healthcheck: Healthcheck | None = None
    restart: str = ""
    stop_signal: str = ""
    stop_grace_period: int | None = None
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    security_opt: tuple[str, ...] = ()
    devices: tuple[Device, ...] = ()
    device_cgroup_rules: tuple[str, ...] = ()
    gpus: tuple[DeviceRequest, ...] = ()
    group_add: tuple[str, ...] = ()
    extra_hosts: Mapping[str, tuple[str, ...]] = {}
    dns: tuple[str, ...] = ()
    dns_opt: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    sysctls: Mapping[str, str] = {}
    ulimits: Mapping[str, UlimitPair | int] = {}
    shm_size: int | None = None
    mem_limit: int | None = None
    memswap_limit: int | None = None
    mem_reservation: int | None = None
    mem_swappiness: int | None = None
    cpus: float | None = None
    cpu_shares: int | float | None = None
    cpu_period: int | None = None
    cpu_quota: int | None = None
    cpu_rt_period: int | None = None
    cpu_rt_runtime: int | None = None
    cpuset: str = ""
    blkio_config: Blkio | None = None
    pids_limit: int | None = None
    oom_score_adj: int | None = None
    oom_kill_disable: bool = False
    runtime: str = ""
    storage_opt: Mapping[str, str] = {}
    annotations: Mapping[str, str] = {}
    mac_address: str = ""
    volumes_from: tuple[str, ...] = ()
    logging: Logging | None = None
    deploy: Deploy | None = None
    scale: int | None = None
    profiles: tuple[str, ...] = ()
    secrets: tuple[FileReference, ...] = ()
    configs: tuple[FileReference, ...] = ()
    post_start: tuple[Hook, ...] = ()
    pre_start: tuple[Hook, ...] = ()
    pre_stop: tuple[Hook, ...] = ()
    use_api_socket: bool = False
    skerry: Skerry | None = Field(default=None, alias="x-skerry")


class IpamConfig(Part):
    subnet: str = ""
    gateway: str = ""
    ip_range: str = ""
    aux_addresses: Mapping[str, str] = {}


class Ipam(Part):
    driver: str = ""
    options: Mapping[str, str] = {}
    config: tuple[IpamConfig, ...] = ()


class Network(Part):
    name: str
    driver: str = ""
    driver_opts: Mapping[str, str] = {}
    external: bool = False
    internal: bool = False
    attachable: bool = False
    enable_ipv4: bool = True
    enable_ipv6: bool = False
    labels: Mapping[str, str] = {}
    ipam: Ipam = Ipam()


class Volume(Part):
    name: str
    driver: str = ""
    driver_opts: Mapping[str, str] = {}
    external: bool = False
    labels: Mapping[str, str] = {}


class FileResource(Part):
    """A secret or a config."""

    name: str
    file: str = ""
    environment: str = ""
    content: str | None = None
    external: bool = False


@dataclass(frozen=True)
class Project:
    """A loaded project. `folder` is what relative paths were relative to; `warnings` are lines for a person.

    `contents` are those of the configs and secrets in use, by `configs.NAME` and `secrets.NAME`; no form shows them.
    """

    name: str
    folder: Path
    services: Mapping[str, Service]
    networks: Mapping[str, Network]
    volumes: Mapping[str, Volume]
    secrets: Mapping[str, FileResource]
    configs: Mapping[str, FileResource]
    rest: Mapping[str, Plain]
    warnings: tuple[str, ...] = ()
    contents: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    def plain(self) -> dict[str, Plain]:
        """Return the canonical plain form, as `app config` shows it."""
        result: dict[str, Plain] = {"name": self.name}
        sections: dict[str, Mapping[str, Part]] = {
            "services": self.services,
            "networks": self.networks,
            "volumes": self.volumes,
            "secrets": self.secrets,
            "configs": self.configs,
        }
        for section, parts in sections.items():
            if parts:
                result[section] = {name: part.plain() for name, part in parts.items()}
        return {**result, **self.rest}
