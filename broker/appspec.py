"""The AppSpec: an app as it travels, canonical and complete, so that a device has nothing left to decide.

Every field is one that an engine understands (Engine API 1.41, or the one it names); a field this version does not know
is refused, because running an app without it would run another app. The digest of its canonical form is the identity of
a release. Durations are milliseconds, sizes bytes, CPU shares nano-CPUs: integers only, so that the form is canonical.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from broker.canonical import digest_of
from broker.ids import Digest, Name

LABEL_PREFIX = "io.skerry."  # ours alone: an app that sets such a label could be taken for another, so it is refused
SERVICES_MAX = 128
FILE_BYTES_MAX = 32 * 1024  # one config or secret; a desired state has 64 KiB for all that it carries
FILES_BYTES_MAX = 48 * 1024  # all of an app together
# Mounted when a container starts; the last by us, for telemetry.
_ENGINES_OWN = ("/dev", "/proc", "/sys", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/run/skerry")

Port = Annotated[int, Field(ge=1, le=65535)]
Millis = Annotated[int, Field(ge=0, le=7 * 24 * 3600 * 1000)]
Count = Annotated[int, Field(ge=0, le=2**63 - 1)]  # what an engine can be told
Repository = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9]+([._-][a-z0-9]+)*(/[a-z0-9]+([._-][a-z0-9]+)*)*$", max_length=200)
]
HostName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,252}$")]
Text = Annotated[str, StringConstraints(max_length=32 * 1024, pattern=r"^[^\x00]*$")]
Texts = tuple[Text, ...]
AbsolutePath = Annotated[str, StringConstraints(pattern=r"^/[^\x00]*$", max_length=4096)]
MacAddress = Annotated[str, StringConstraints(pattern=r"^([0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5})?$")]
DeviceRule = Annotated[str, StringConstraints(pattern=r"^[abc] (\*|[0-9]{1,9}):(\*|[0-9]{1,9}) [rwm]{1,3}$")]
VolumesFrom = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}(:(ro|rw))?$")]
_JOINED = "service:[a-z0-9][a-z0-9_-]{0,62}"  # another container is only ever one of the same app
NetworkMode = Annotated[str, StringConstraints(pattern=rf"^(none|host|{_JOINED})?$")]
PidMode = Annotated[str, StringConstraints(pattern=rf"^(host|{_JOINED})?$")]
IpcMode = Annotated[str, StringConstraints(pattern=rf"^(none|private|shareable|host|{_JOINED})?$")]
TextMap = Mapping[Annotated[str, StringConstraints(max_length=1024, pattern=r"^[^\x00]+$")], Text]


def _not_ours(labels: Mapping[str, str]) -> Mapping[str, str]:
    for label in labels:
        if label.startswith(LABEL_PREFIX):
            raise ValueError(f"label {label!r}: the prefix {LABEL_PREFIX!r} is reserved")
    return labels


def _real_ports(written: str) -> str:
    first, _, last = written.partition("/")[0].partition("-")
    if not 1 <= int(first) <= int(last or first) <= 65535:
        raise ValueError(f"{written!r} names no ports: they go from 1 to 65535")
    return written


Labels = Annotated[TextMap, AfterValidator(_not_ours)]
Exposed = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9]{1,5}(-[0-9]{1,5})?(/(tcp|udp|sctp))?$"),
    AfterValidator(_real_ports),
]


def later(default: Any) -> Any:
    """Return a field that came after the first devices: left out at its default, so that they still take a message."""
    return Field(default=default, exclude_if=lambda value: bool(value == default))


class Spec(BaseModel):
    """Base of all parts: frozen, and strict about what it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Image(Spec):
    """An image by content: the repository inside the organisation's registry, and the manifest's digest."""

    repository: Repository
    digest: Digest
    platform: str = ""


class PublishedPort(Spec):
    """A container port on the host. `published` 0 lets the engine choose."""

    target: Port
    published: Annotated[int, Field(ge=0, le=65535)] = 0
    host_ip: str = ""
    protocol: Literal["tcp", "udp", "sctp"] = "tcp"


class Mount(Spec):
    """One mount: a named volume of the app, a host path, or memory."""

    type: Literal["volume", "bind", "tmpfs"]
    target: AbsolutePath
    source: Text = ""
    read_only: bool = False
    create_host_path: bool = True
    propagation: str = ""
    recursive: Literal["enabled", "disabled", "writable", "readonly"] = later("enabled")  # the last two: API 1.44
    no_copy: bool = False
    subpath: Text = later("")  # API 1.45
    tmpfs_size: Annotated[int, Field(ge=0)] | None = None
    tmpfs_mode: Annotated[int, Field(ge=0, le=0o7777)] | None = None
    tmpfs_uid: Count | None = later(None)
    tmpfs_gid: Count | None = later(None)
    tmpfs_exec: bool = later(False)


class Healthcheck(Spec):
    """The command that tells whether a service works: `test` as the engine takes it, e.g. `["CMD", "/bin/true"]`."""

    test: Texts
    interval_ms: Millis = 30_000
    timeout_ms: Millis = 30_000
    start_period_ms: Millis = 0
    start_interval_ms: Millis | None = later(None)  # API 1.44; an older engine goes by the interval
    retries: Annotated[int, Field(ge=0, le=1000)] = 3


class Dependency(Spec):
    """What must hold of another service before this one starts."""

    condition: Literal["service_started", "service_healthy", "service_completed_successfully"] = "service_started"
    required: bool = True
    restart: bool = False


class Restart(Spec):
    """What the engine does when the service's process ends."""

    policy: Literal["no", "always", "on-failure", "unless-stopped"] = "no"
    retries: Annotated[int, Field(ge=0, le=10_000)] = 0


class Attachment(Spec):
    """A service's place on one of the app's networks. Its aliases are names by which others there reach it."""

    aliases: tuple[HostName, ...] = ()
    ipv4_address: str = ""
    ipv6_address: str = ""
    link_local_ips: Texts = later(())
    mac_address: MacAddress = later("")  # on other networks than the first: API 1.44
    driver_opts: TextMap = later({})
    interface_name: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_.-]{0,15}$")] = later("")  # API 1.49
    priority: Annotated[int, Field(ge=-(2**31), lt=2**31)] = later(0)  # the highest is joined first
    gw_priority: Annotated[int, Field(ge=-(2**31), lt=2**31)] = later(0)  # API 1.48


class Ulimit(Spec):
    soft: int
    hard: int


class DeviceWeight(Spec):
    path: AbsolutePath
    weight: Annotated[int, Field(ge=0, le=1000)]


class DeviceRate(Spec):
    path: AbsolutePath
    rate: Count


class Blkio(Spec):
    """A service's share of the disks: bytes or operations a second."""

    weight: Annotated[int, Field(ge=0, le=1000)] = 0
    weight_device: tuple[DeviceWeight, ...] = ()
    device_read_bps: tuple[DeviceRate, ...] = ()
    device_read_iops: tuple[DeviceRate, ...] = ()
    device_write_bps: tuple[DeviceRate, ...] = ()
    device_write_iops: tuple[DeviceRate, ...] = ()


class DeviceRequest(Spec):
    """Devices that a driver of the engine hands out, such as GPUs: `count` of them (-1: all), or those named."""

    driver: Text = ""
    count: Annotated[int, Field(ge=-1, le=2**31)] = 0
    device_ids: Texts = ()
    capabilities: Texts = ()
    options: TextMap = {}


class Switch(Spec):
    """How a service goes to another release, or back: Compose's `update_config` and `rollback_config`."""

    order: Literal["stop-first", "start-first"] = "stop-first"
    parallelism: Count = 1
    delay_ms: Millis = 0
    failure_action: Literal["pause", "continue", "rollback"] = "pause"
    monitor_ms: Millis = 5_000
    max_failure_ppm: Annotated[int, Field(ge=0, le=1_000_000)] = 0  # parts in a million: a ratio without fractions


class File(Spec):
    """The content of a config or secret: a text, or bytes in base64."""

    content: Annotated[str, StringConstraints(max_length=2 * FILE_BYTES_MAX)] = ""
    encoding: Literal["text", "base64"] = "text"

    @model_validator(mode="after")
    def _fits(self) -> File:
        try:
            size = len(self.data)
        except (binascii.Error, UnicodeEncodeError) as error:
            raise ValueError(f"the content is not {self.encoding}") from error
        if size > FILE_BYTES_MAX:
            raise ValueError(f"the content is {size} bytes; {FILE_BYTES_MAX} may travel")
        return self

    @property
    def data(self) -> bytes:
        return base64.b64decode(self.content, validate=True) if self.encoding == "base64" else self.content.encode()


def file_of(data: bytes) -> File:
    """Return the file with this content: as a text where it is one, because texts stay readable and small."""
    try:
        return File(content=data.decode())
    except UnicodeDecodeError:
        return File(content=base64.b64encode(data).decode(), encoding="base64")


def _a_files_path(path: str) -> str:
    if path.endswith("/") or not {".", ".."}.isdisjoint(path.split("/")):
        raise ValueError(f"{path!r} is not the path of a file")
    return path


class Placed(Spec):
    """Where a service finds a config or secret, and whose it is there."""

    source: Name
    target: Annotated[AbsolutePath, AfterValidator(_a_files_path)]
    uid: Annotated[int, Field(ge=0, lt=2**32)] = 0
    gid: Annotated[int, Field(ge=0, lt=2**32)] = 0
    mode: Annotated[int, Field(ge=0, le=0o777)] = 0o444


class Logging(Spec):
    driver: Name = "json-file"
    options: TextMap = {}


class Telemetry(Spec):
    """How a service reaches the device's telemetry intake: a socket folder, TCP through a forwarder, or not at all."""

    access: Literal["none", "socket", "tcp"] = "none"


class Service(Spec):
    """One service of the app, as one container will be made from it."""

    image: Image
    command: Texts | None = None
    entrypoint: Texts | None = None
    environment: TextMap = {}
    user: Text = ""
    working_dir: Text = ""
    hostname: Text = ""
    domainname: Text = ""
    init: bool | None = None
    tty: bool = False
    stdin_open: bool = False
    read_only: bool = False
    privileged: bool = False
    labels: Labels = {}
    ports: tuple[PublishedPort, ...] = ()
    expose: tuple[Exposed, ...] = ()
    mounts: tuple[Mount, ...] = ()
    networks: Mapping[Name, Attachment] = {}
    network_mode: NetworkMode = ""
    pid: PidMode = later("")
    ipc: IpcMode = later("")
    uts: Literal["", "host"] = later("")
    userns_mode: Literal["", "host"] = later("")
    cgroup: Literal["", "host", "private"] = later("")
    cgroup_parent: Text = later("")
    depends_on: Mapping[Name, Dependency] = {}
    healthcheck: Healthcheck | None = None
    restart: Restart = Restart()
    stop_signal: str = ""
    stop_grace_ms: Millis = 10_000
    cap_add: Texts = ()
    cap_drop: Texts = ()
    security_opt: Texts = ()
    devices: Texts = ()
    device_cgroup_rules: tuple[DeviceRule, ...] = later(())
    device_requests: tuple[DeviceRequest, ...] = later(())
    group_add: Texts = ()
    extra_hosts: Mapping[str, str | Texts] = {}
    dns: Texts = ()
    dns_opt: Texts = later(())
    dns_search: Texts = ()
    sysctls: TextMap = {}
    ulimits: Mapping[str, Ulimit] = {}
    shm_size: int | None = None
    mem_limit: int | None = None
    memswap_limit: int | None = None
    mem_reservation: Count | None = later(None)
    mem_swappiness: Annotated[int, Field(ge=0, le=100)] | None = later(None)
    nano_cpus: int | None = None
    cpu_shares: Count | None = later(None)
    cpu_period: Count | None = later(None)
    cpu_quota: Annotated[int, Field(ge=-1, le=2**63 - 1)] | None = later(None)
    cpu_rt_period: Count | None = later(None)
    cpu_rt_runtime: Count | None = later(None)
    cpuset: Annotated[str, StringConstraints(pattern=r"^[0-9,-]*$", max_length=1024)] = later("")
    blkio: Blkio | None = later(None)
    pids_limit: int | None = None
    oom_score_adj: int | None = None
    oom_kill_disable: bool = later(False)
    runtime: Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9._-]{0,200}$")] = later("")
    storage_opt: TextMap = later({})
    annotations: TextMap = later({})  # API 1.43
    volumes_from: tuple[VolumesFrom, ...] = later(())
    configs: tuple[Placed, ...] = later(())
    secrets: tuple[Placed, ...] = later(())
    update: Switch | None = later(None)
    rollback: Switch | None = later(None)
    logging: Logging | None = None
    telemetry: Telemetry = Telemetry()

    @property
    def joins(self) -> tuple[str, ...]:
        """The other services whose namespaces or volumes this one uses: it is made anew when they are."""
        modes = (self.network_mode, self.pid, self.ipc)
        names = {mode.partition(":")[2] for mode in modes if mode.startswith("service:")}
        return tuple(sorted(names | {source.partition(":")[0] for source in self.volumes_from}))


class Pool(Spec):
    """One range of addresses of a network."""

    subnet: Text
    gateway: str = ""
    ip_range: str = ""
    aux_addresses: TextMap = {}


class Network(Spec):
    """A network of the app; made for it alone."""

    driver: Literal["bridge"] = "bridge"
    internal: bool = False
    labels: Labels = {}
    options: TextMap = {}
    subnet: Text = ""
    gateway: Text = ""
    pools: tuple[Pool, ...] = later(())  # where one subnet with its gateway does not say it all
    ipam_options: TextMap = later({})
    enable_ipv6: bool = later(False)

    @model_validator(mode="after")
    def _said_once(self) -> Network:
        if self.pools and (self.subnet or self.gateway):
            raise ValueError("subnet and pools exclude each other")
        return self

    @property
    def ranges(self) -> tuple[Pool, ...]:
        """All pools, however they are written."""
        return (Pool(subnet=self.subnet, gateway=self.gateway),) if self.subnet else self.pools


class Volume(Spec):
    """A named volume of the app; never deleted unless asked by name."""

    driver: Literal["local"] = "local"
    options: TextMap = {}
    labels: Labels = {}


class AppSpec(Spec):
    """A whole app: what a release is made of."""

    v: Literal[1] = 1
    name: Name
    services: Annotated[Mapping[Name, Service], Field(min_length=1, max_length=SERVICES_MAX)]
    networks: Mapping[Name, Network] = {}
    volumes: Mapping[Name, Volume] = {}
    configs: Mapping[Name, File] = later({})
    secrets: Mapping[Name, File] = later({})

    @model_validator(mode="after")
    def _references_hold(self) -> AppSpec:
        for name, service in self.services.items():
            for problem in self._problems(service):
                raise ValueError(f"services.{name}{problem}")
        cycle = dependency_cycle({name: tuple(service.depends_on) for name, service in self.services.items()})
        if cycle:
            raise ValueError(f"depends_on goes in a circle: {' -> '.join(cycle)}")
        total = sum(len(file.data) for files in (self.configs, self.secrets) for file in files.values())
        if total > FILES_BYTES_MAX:
            raise ValueError(f"configs and secrets are {total} bytes together; {FILES_BYTES_MAX} may travel")
        return self

    def _problems(self, service: Service) -> Iterator[str]:
        for other, dependency in service.depends_on.items():
            if other not in self.services and dependency.required:
                yield f".depends_on: there is no service {other!r}"
        for network in service.networks:
            if network not in self.networks:
                yield f".networks: there is no network {network!r}"
        if service.network_mode and service.networks:
            yield ": network_mode and networks exclude each other"
        for mount in service.mounts:
            if mount.type == "volume" and mount.source and mount.source not in self.volumes:
                yield f".volumes: there is no volume {mount.source!r}"
            if mount.type == "bind" and not mount.source.startswith("/"):
                yield f".volumes: a host path must be absolute, not {mount.source!r}"
        yield from self._joining_problems(service)
        yield from self._file_problems(service)
        if service.oom_kill_disable and not service.mem_limit:
            yield ".oom_kill_disable: without mem_limit the device itself would stop; set one"
        if service.update is not None and service.update.order == "start-first":
            for port in service.ports:
                if port.published:
                    yield (
                        f".update: start-first cannot be, two containers cannot both have the device's port "
                        f"{port.published}; use stop-first"
                    )

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
        if not service.network_mode.startswith("service:"):
            return
        keys = ("ports", "expose", "hostname", "domainname", "dns", "dns_opt", "dns_search", "extra_hosts")
        for key in keys:
            if getattr(service, key):
                yield f".{key}: it belongs to the service whose network is joined"
        if service.telemetry.access == "tcp":
            yield ".telemetry: tcp needs a network of its own; use socket"

    def _file_problems(self, service: Service) -> Iterator[str]:
        for kind, known, placed in (
            ("configs", self.configs, service.configs),
            ("secrets", self.secrets, service.secrets),
        ):
            for file in placed:
                if file.source not in known:
                    yield f".{kind}: there is no {kind.removesuffix('s')} {file.source!r}"
                if service.read_only:
                    yield f".{kind}: the engine cannot put a file into a service that is read_only"
                path = PurePosixPath(file.target)
                hiding = [mount.target for mount in service.mounts if path.is_relative_to(mount.target)]
                hiding += [engine_own for engine_own in _ENGINES_OWN if path.is_relative_to(engine_own)]
                if hiding:
                    yield f".{kind}: {file.target} would be hidden by the mount of {hiding[0]}"

    def plain(self) -> dict[str, object]:
        """Return the canonical plain form: defaults left out, so that a later field does not change old digests."""
        return self.model_dump(mode="json", exclude_defaults=True) | {"v": self.v}

    @property
    def digest(self) -> str:
        return digest_of(self.plain())


def dependency_cycle(edges: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Return one circle of names, first and last equal, or an empty list."""
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []
