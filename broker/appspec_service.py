"""One service of an app: everything that its containers are made from. Part of the AppSpec; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from broker.appspec_files import Placed
from broker.appspec_life import Dependency, Healthcheck, Hook, Restart, Switch
from broker.appspec_limits import Blkio, DeviceRequest, Ulimit
from broker.appspec_network import Attachment
from broker.appspec_storage import Mount
from broker.appspec_values import ENGINE_NAME, Count, Labels, Millis, Port, Spec, Text, TextMap, Texts, later
from broker.ids import Digest, Name

REPLICAS_MAX = 64  # of one service; more on one device is a slip of the pen
_OF_A_NETWORK = ("ports", "expose", "hostname", "domainname", "dns", "dns_opt", "dns_search", "extra_hosts")
# Mounted when a container starts; the last by us, for telemetry.
_ENGINES_OWN = ("/dev", "/proc", "/sys", "/run/skerry")

Repository = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9]+([._-][a-z0-9]+)*(/[a-z0-9]+([._-][a-z0-9]+)*)*$", max_length=200)
]
DeviceRule = Annotated[str, StringConstraints(pattern=r"^[abc] (\*|[0-9]{1,9}):(\*|[0-9]{1,9}) [rwm]{1,3}$")]
_OTHER = f"container:{ENGINE_NAME}"  # of the device, where its owner allows it
VolumesFrom = Annotated[str, StringConstraints(pattern=rf"^([a-z0-9][a-z0-9_-]{{0,62}}|{_OTHER})(:(ro|rw))?$")]
_JOINED = f"service:[a-z0-9][a-z0-9_-]{{0,62}}|{_OTHER}"
NetworkMode = Annotated[str, StringConstraints(pattern=rf"^(none|host|{_JOINED})?$")]
PidMode = Annotated[str, StringConstraints(pattern=rf"^(host|{_JOINED})?$")]
IpcMode = Annotated[str, StringConstraints(pattern=rf"^(none|private|shareable|host|{_JOINED})?$")]


def _real_ports(written: str) -> str:
    first, _, last = written.partition("/")[0].partition("-")
    if not 1 <= int(first) <= int(last or first) <= 65535:
        raise ValueError(f"{written!r} names no ports: they go from 1 to 65535")
    return written


Exposed = Annotated[
    str,
    StringConstraints(pattern=r"^[0-9]{1,5}(-[0-9]{1,5})?(/(tcp|udp|sctp))?$"),
    AfterValidator(_real_ports),
]


class Image(Spec):
    """An image by content: the repository inside the organisation's registry, and the digest of the pushed manifest.

    A release has the last two as well, filled in when it is pushed: the digest of the release manifest
    (`broker/oci.py`), by which engines know the image, and the size of all its layers' tars.
    """

    repository: Repository
    digest: Digest
    platform: str = ""
    plain: Digest | None = later(None)
    unpacked_bytes: Count = later(0)


class PublishedPort(Spec):
    """A container port on the host. `published` 0 lets the engine choose; see `Service.ports_of` for replicas."""

    target: Port
    published: Annotated[int, Field(ge=0, le=65535)] = 0
    host_ip: str = ""
    protocol: Literal["tcp", "udp", "sctp"] = "tcp"


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
    replicas: Annotated[int, Field(ge=1, le=REPLICAS_MAX)] = later(1)
    post_start: tuple[Hook, ...] = later(())
    pre_stop: tuple[Hook, ...] = later(())
    telemetry: Telemetry = Telemetry()
    redis: bool = later(False)
    display: Literal["off", "auto", "require"] = later("off")
    lock: bool = later(False)

    def ports_of(self, index: int) -> tuple[PublishedPort, ...]:
        """Return the ports of one replica, counted from 1: the first has those written, each further one the next."""
        return tuple(
            port.model_copy(update={"published": port.published + index - 1}) if port.published else port
            for port in self.ports
        )

    @model_validator(mode="after")
    def _can_be(self) -> Service:
        for problem in (*self._problems(), *self._misplaced_files()):
            raise ValueError(problem)
        return self

    def _problems(self) -> Iterator[str]:
        """Yield what cannot be, as `key: why`; the key in Compose's words."""
        if self.network_mode and self.networks:
            yield "network_mode: it and networks exclude each other"
        for mount in self.mounts:
            if mount.type == "bind" and not mount.source.startswith("/"):
                yield f"volumes: a host path must be absolute, not {mount.source!r}"
        if self.oom_kill_disable and not self.mem_limit:
            yield "oom_kill_disable: without mem_limit the device itself would stop; set one"
        if self.network_mode.startswith(("service:", "container:")):
            for key in _OF_A_NETWORK:
                if getattr(self, key):
                    yield f"{key}: it belongs to whose network is joined"
            if self.telemetry.access == "tcp":
                yield "x-skerry.telemetry: tcp needs a network of its own; use socket"
        overlaps = self.update is not None and self.update.order == "start-first"
        for key, what in self._of_one_container():
            if self.replicas > 1 and key != "ports":
                yield f"{key}: {self.replicas} replicas cannot share {what}"
            if overlaps:
                cure = f"two containers cannot both have {what}; use stop-first"
                yield f"deploy.update_config.order: start-first cannot be, {cure}"
        if any(port.published + self.replicas - 1 > 65535 for port in self.ports):
            yield f"ports: no port of the device is left for each of {self.replicas} replicas"

    def _of_one_container(self) -> Iterator[tuple[str, str]]:
        """Yield what no two containers can have at once: which key asks for it, and what it is."""
        yield from (("ports", f"the device's port {port.published}") for port in self.ports if port.published)
        for network, attachment in self.networks.items():
            for key in ("ipv4_address", "ipv6_address", "mac_address"):
                if getattr(attachment, key):
                    yield f"networks.{network}.{key}", str(getattr(attachment, key))
            yield from ((f"networks.{network}.link_local_ips", address) for address in attachment.link_local_ips)

    def _misplaced_files(self) -> Iterator[str]:
        """Yield the configs and secrets that cannot be mounted where they should."""
        taken: set[str] = {mount.target.rstrip("/") for mount in self.mounts}
        for key, placed in (("configs", self.configs), ("secrets", self.secrets)):
            for file in placed:
                path = PurePosixPath(file.target)
                if str(path) in taken:
                    yield f"{key}: something else is mounted at {file.target}"
                taken.add(str(path))
                sealed = [m.target for m in self.mounts if m.read_only and path.is_relative_to(m.target)]
                sealed += [engine_own for engine_own in _ENGINES_OWN if path.is_relative_to(engine_own)]
                if sealed:
                    yield f"{key}: {file.target} would be inside of {sealed[0]}, where no file can be put"

    @property
    def ranked_networks(self) -> list[tuple[str, Attachment]]:
        """Its networks in the order in which they are joined."""
        return sorted(self.networks.items(), key=lambda item: (-item[1].priority, item[0]))

    @property
    def joins(self) -> tuple[str, ...]:
        """The other services whose namespaces or volumes this one uses: it is made anew when they are."""
        modes = (self.network_mode, self.pid, self.ipc)
        names = {mode.partition(":")[2] for mode in modes if mode.startswith("service:")}
        lenders = {source.partition(":")[0] for source in self.volumes_from if not source.startswith("container:")}
        return tuple(sorted(names | lenders))

    @property
    def strangers(self) -> tuple[str, ...]:
        """The containers outside of the app whose namespaces or volumes this one uses."""
        places = (self.network_mode, self.pid, self.ipc, *self.volumes_from)
        return tuple(sorted({place.split(":")[1] for place in places if place.startswith("container:")}))
