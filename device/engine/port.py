"""What reconcile needs of a container engine, and the values that cross.

Every implementation passes the same contract tests. Errors: `EngineUnavailable` when the engine does not answer (which
means *unknown*, never *gone*), `EngineRefused` when it answered that it will not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from broker.appspec import Attachment, Healthcheck, Hook, Pool, Restart, Service
from broker.errors import Passing, Refused
from broker.host_paths import HostPaths

Health = Literal["none", "starting", "healthy", "unhealthy"]
State = Literal["created", "running", "restarting", "exited"]


class EngineUnavailable(Passing):
    """The engine did not answer. What runs is unknown."""


CANNOT = "engine_cannot"  # the reason where this engine has no way to carry out what was asked, today or tomorrow


class EngineRefused(Refused):
    """The engine answered that it will not do this."""


class PullStalled(Passing):
    """Nothing has come of an image for a while. What has come may be kept by the engine."""


@dataclass(frozen=True)
class Container:
    """One container of ours as the engine lists it."""

    id: str
    name: str
    instance: str
    service: str
    hash: str
    state: State
    health: Health = "none"
    exit_code: int | None = None
    image: str = ""
    release: str = ""
    index: int = 1  # which of a service's replicas it is
    restart: str = ""  # the restart policy it was made with, as `restart_text` writes it
    joined: str = ""  # the ids of the containers it joins, with commas between
    networks: frozenset[str] | None = None  # the names of those it is on; None where the engine does not tell
    was_cut_off: bool = False  # the machine went down while it ran, and the engine leaves its policy to others

    @property
    def slot(self) -> str:
        return slot_of(self.service, self.index)


def slot_of(service: str, index: int) -> str:
    """Return the name of a replica inside its app: the first is called as its service."""
    return service if index == 1 else f"{service}.{index}"  # no name of a service has a dot


def restart_text(restart: Restart) -> str:
    """Return a restart policy as a label carries it."""
    return f"{restart.policy}:{restart.retries}" if restart.retries else restart.policy


@dataclass(frozen=True)
class Details:
    """What only an inspection of one container tells."""

    started_at_ms: int | None  # of its newest start, milliseconds since 1970 by the engine's clock
    restarts: int  # by the restart policy, since it was made or last started by us
    oom_killed: bool
    exit_code: int | None  # None while it runs and before it ran
    state: State | None = None  # newer than the list's: an engine lists a container that died as running for a while


@dataclass(frozen=True)
class HookResult:
    """How a command inside a container ended, and the beginning of what it wrote, out and err together."""

    exit_code: int
    output: str


@dataclass(frozen=True)
class NetworkSeen:
    id: str
    name: str
    instance: str
    hash: str


@dataclass(frozen=True)
class Observed:
    """A snapshot of everything of ours on the engine, taken by list calls only."""

    containers: tuple[Container, ...] = ()
    networks: tuple[NetworkSeen, ...] = ()
    volumes: frozenset[str] = frozenset()


@dataclass(frozen=True)
class BindOrVolume:
    """A mount with the engine's own names in it."""

    type: Literal["bind", "volume", "tmpfs"]
    target: str
    source: str = ""
    read_only: bool = False
    tmpfs_size: int | None = None
    tmpfs_mode: int | None = None
    create_host_path: bool = False
    propagation: str = ""
    no_copy: bool = False
    recursive: str = "enabled"
    subpath: str = ""
    tmpfs_uid: int | None = None
    tmpfs_gid: int | None = None
    tmpfs_exec: bool = False


@dataclass(frozen=True)
class FileInside:
    """A file that is put into a container before it starts. `sealed` says what a secret is of: its data is sealed."""

    path: str
    data: bytes = field(repr=False)
    uid: int = 0
    gid: int = 0
    mode: int = 0o444
    sealed: str = ""


@dataclass(frozen=True)
class WantedContainer:
    """A container with nothing left to decide. `hash` is the digest of what it is made from, names apart."""

    instance: str
    service: str
    name: str
    image: str
    spec: Service
    environment: Mapping[str, str]
    labels: Mapping[str, str]
    mounts: tuple[BindOrVolume, ...]
    networks: Mapping[str, tuple[str, ...]]  # engine name -> aliases, in the order in which they are joined
    addresses: Mapping[str, tuple[str, str]]  # engine name -> (IPv4, IPv6), each maybe empty
    extra_hosts: Mapping[str, str | tuple[str, ...]]
    hash: str
    release: str
    attachments: Mapping[str, Attachment] = field(default_factory=dict)  # engine name -> what else it asks there
    joined: Mapping[str, str] = field(default_factory=dict)  # service of the app -> name of its container
    files: tuple[FileInside, ...] = ()
    host_paths: HostPaths = field(default_factory=HostPaths)  # where its mounts may lead
    index: int = 1

    @property
    def slot(self) -> str:
        return slot_of(self.service, self.index)


@dataclass(frozen=True)
class WantedNetwork:
    instance: str
    name: str
    resource: str
    internal: bool
    labels: Mapping[str, str]
    options: Mapping[str, str]
    subnet: str
    gateway: str
    hash: str
    pools: tuple[Pool, ...] = ()  # where `subnet` does not say it all
    ipam_options: Mapping[str, str] = field(default_factory=dict)
    enable_ipv6: bool = False
    driver: str = "bridge"


@dataclass(frozen=True)
class WantedVolume:
    instance: str
    name: str
    resource: str
    labels: Mapping[str, str]
    options: Mapping[str, str]
    host_paths: HostPaths = field(default_factory=HostPaths)


@dataclass(frozen=True)
class LogLine:
    """One line a container wrote. `at_ns` is the engine's time stamp, nanoseconds since 1970; no line shares it."""

    at_ns: int
    stream: Literal["out", "err"]
    text: str
    is_cut: bool = False  # the line was longer than what is kept together; it goes on in the next one


@dataclass(frozen=True)
class EngineInfo:
    name: str
    version: str
    api: str
    arch: str
    os: str
    kernel: str
    cpus: int = 0
    memory_bytes: int = 0
    address: str = ""
    cannot: tuple[str, ...] = ()  # what a Compose file may ask that this engine does not carry out


Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Usage:
    """What a container has used since its start, and what it uses; None where the engine does not tell."""

    cpu_s: float
    memory_bytes: int
    received_bytes: int | None
    sent_bytes: int | None


class Engine(Protocol):
    """One container engine, restricted to what carries our device label."""

    def info(self) -> EngineInfo:
        """Say what engine this is."""

    def observe(self) -> Observed:
        """List what is ours: containers, networks, volumes."""

    def containers(self) -> tuple[Container, ...]:
        """List our containers: one call, for the round in which nothing has changed."""

    def resources(self) -> tuple[tuple[NetworkSeen, ...], frozenset[str]]:
        """List our networks, and the names of our volumes."""

    def details(self, container_id: str) -> Details:
        """Inspect one container: where a state changed, or a release is being judged."""

    def has_image(self, image: str) -> bool:
        """Say whether `image` (`host/repository@sha256:..`) can be started without fetching."""

    def pull(self, image: str, *, token: str, progress: Progress) -> None:
        """Fetch `image` with a registry bearer token.

        `progress(done, total)` is called at least once a second, in bytes where the engine tells them. What it raises
        ends the transfer. `PullStalled` when nothing comes any more; however long it takes while something does.
        """

    def save(self, image: str) -> Iterator[bytes]:
        """Yield an image as one archive with the tars of its layers in it. Close it to end early."""

    def create_network(self, network: WantedNetwork) -> None: ...

    def remove_network(self, network: NetworkSeen) -> None: ...

    def create_volume(self, volume: WantedVolume) -> None: ...

    def create(self, container: WantedContainer) -> None:
        """Make the container whole, with its networks and files, without starting it; or leave nothing that counts."""

    def lay_ready(self, container: WantedContainer) -> None:
        """Have the secrets of a container that was made before lie where it mounts them: a boot empties the memory."""

    def start(self, container_id: str) -> None:
        """Start a container by id or name; a running one is fine."""

    def rename(self, container_id: str, name: str) -> None:
        """Give a container, running or not, another name."""

    def run_hook(self, container_id: str, hook: Hook, *, timeout_s: float) -> HookResult:
        """Run a command in a running container and wait for its end; refused as `hook_timeout` when none comes."""

    def set_restart(self, container_id: str, restart: Restart) -> None:
        """Change the restart policy in place; an engine that cannot refuses it as `not_supported`."""

    def image_healthcheck(self, image: str) -> Healthcheck | None:
        """Return the check an image brings along. A service without one of its own has this."""

    def stop(self, container_id: str, *, grace_s: int) -> None:
        """Ask it to end, kill it after `grace_s`; an absent or stopped container is fine."""

    def remove(self, container_id: str) -> None:
        """Remove a container; an absent one is fine. Volumes stay."""

    def remove_image(self, image: str) -> None:
        """Remove one name of an image, and the image with its last; an absent one is fine, a used one refused."""

    def remove_volume(self, name: str) -> None:
        """Delete a volume of ours, by name, with its data: only ever on a person's explicit wish."""

    def bridge_of(self, network: str) -> str | None:
        """Return the host interface of a network, where it has one."""

    def wait_for_event(self, timeout_s: float) -> bool:
        """Wait until something of ours may have changed. A hint only: list again to know."""

    def follow_logs(self, container_id: str, *, since_ns: int) -> Iterator[LogLine]:
        """Yield lines newer than `since_ns` until the container ends or `close` is called."""

    def last_lines(self, container_id: str, count: int) -> list[str]:
        """Return the newest lines of a container, running or not."""

    def usage(self, container_id: str) -> Usage | None:
        """Say what a running container uses; None where it does not run."""

    def close(self) -> None:
        """End every call that waits."""
