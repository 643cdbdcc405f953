"""The AppSpec: an app as it travels, canonical and complete, so that a device has nothing left to decide.

Every field is one that an engine understands (Engine API 1.41); a field this version does not know is refused, because
running an app without it would run another app. The digest of its canonical form is the identity of a release.
Durations are milliseconds, sizes bytes, CPU shares nano-CPUs: integers only, so that the form is canonical.
"""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from broker.canonical import digest_of
from broker.ids import Digest, Name

LABEL_PREFIX = "io.skerry."  # ours alone: an app that sets such a label could be taken for another, so it is refused
SERVICES_MAX = 128

Port = Annotated[int, Field(ge=1, le=65535)]
Millis = Annotated[int, Field(ge=0, le=7 * 24 * 3600 * 1000)]
Repository = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9]+([._-][a-z0-9]+)*(/[a-z0-9]+([._-][a-z0-9]+)*)*$", max_length=200)
]
HostName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,252}$")]
Text = Annotated[str, StringConstraints(max_length=32 * 1024, pattern=r"^[^\x00]*$")]
Texts = tuple[Text, ...]
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
    target: Annotated[str, StringConstraints(pattern=r"^/[^\x00]*$", max_length=4096)]
    source: Text = ""
    read_only: bool = False
    create_host_path: bool = True
    propagation: str = ""
    no_copy: bool = False
    tmpfs_size: Annotated[int, Field(ge=0)] | None = None
    tmpfs_mode: Annotated[int, Field(ge=0, le=0o7777)] | None = None


class Healthcheck(Spec):
    """The command that tells whether a service works: `test` as the engine takes it, e.g. `["CMD", "/bin/true"]`."""

    test: Texts
    interval_ms: Millis = 30_000
    timeout_ms: Millis = 30_000
    start_period_ms: Millis = 0
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


class Ulimit(Spec):
    soft: int
    hard: int


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
    network_mode: Literal["", "none", "host"] = ""
    depends_on: Mapping[Name, Dependency] = {}
    healthcheck: Healthcheck | None = None
    restart: Restart = Restart()
    stop_signal: str = ""
    stop_grace_ms: Millis = 10_000
    cap_add: Texts = ()
    cap_drop: Texts = ()
    security_opt: Texts = ()
    devices: Texts = ()
    group_add: Texts = ()
    extra_hosts: Mapping[str, str] = {}
    dns: Texts = ()
    dns_search: Texts = ()
    sysctls: TextMap = {}
    ulimits: Mapping[str, Ulimit] = {}
    shm_size: int | None = None
    mem_limit: int | None = None
    memswap_limit: int | None = None
    nano_cpus: int | None = None
    pids_limit: int | None = None
    oom_score_adj: int | None = None
    logging: Logging | None = None
    telemetry: Telemetry = Telemetry()


class Network(Spec):
    """A network of the app; made for it alone."""

    driver: Literal["bridge"] = "bridge"
    internal: bool = False
    labels: Labels = {}
    options: TextMap = {}
    subnet: str = ""
    gateway: str = ""


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

    @model_validator(mode="after")
    def _references_hold(self) -> AppSpec:
        for name, service in self.services.items():
            self._check_service(name, service)
        cycle = dependency_cycle({name: tuple(service.depends_on) for name, service in self.services.items()})
        if cycle:
            raise ValueError(f"depends_on goes in a circle: {' -> '.join(cycle)}")
        return self

    def _check_service(self, name: str, service: Service) -> None:
        where = f"services.{name}"
        for other, dependency in service.depends_on.items():
            if other not in self.services and dependency.required:
                raise ValueError(f"{where}.depends_on: there is no service {other!r}")
        for network in service.networks:
            if network not in self.networks:
                raise ValueError(f"{where}.networks: there is no network {network!r}")
        if service.network_mode and service.networks:
            raise ValueError(f"{where}: network_mode and networks exclude each other")
        for mount in service.mounts:
            if mount.type == "volume" and mount.source and mount.source not in self.volumes:
                raise ValueError(f"{where}.volumes: there is no volume {mount.source!r}")
            if mount.type == "bind" and not mount.source.startswith("/"):
                raise ValueError(f"{where}.volumes: a host path must be absolute, not {mount.source!r}")

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
