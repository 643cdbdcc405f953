"""What some engines do not carry out: one table. What an engine would leave out unseen is refused by name. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from broker.appspec import Attachment
from device.engine.port import BindOrVolume, WantedContainer, WantedNetwork

EngineName = Literal["docker", "podman"]


@dataclass(frozen=True)
class Limit:
    """A key, who asks it, the Engine API that Docker carries it out from, and whether Podman leaves it out."""

    key: str
    asked: Callable[[WantedContainer], bool]
    docker_from: str = ""
    podman_cannot: bool = False


def _mount(test: Callable[[BindOrVolume], bool]) -> Callable[[WantedContainer], bool]:
    return lambda container: any(test(mount) for mount in container.mounts)


def _attachment(
    test: Callable[[Attachment], bool], *, after_the_first: bool = False
) -> Callable[[WantedContainer], bool]:
    return lambda container: any(test(each) for each in list(container.attachments.values())[int(after_the_first) :])


_PODMAN_LOG_DRIVERS = {"json-file", "k8s-file", "journald", "none", "passthrough"}
_PODMAN_LOG_OPTIONS = {"max-size", "max-file", "path", "tag"}

LIMITS = (
    Limit("annotations", lambda c: bool(c.spec.annotations), docker_from="1.43"),
    Limit(
        "volumes: recursive writable or readonly",
        _mount(lambda mount: mount.recursive in ("writable", "readonly")),
        docker_from="1.44",
    ),
    Limit("volumes: subpath", _mount(lambda mount: bool(mount.subpath)), docker_from="1.45"),
    Limit(
        "tmpfs: uid and gid",
        _mount(lambda mount: mount.tmpfs_uid is not None or mount.tmpfs_gid is not None),
        podman_cannot=True,
    ),
    Limit(
        "networks: mac_address on another than the first",
        _attachment(lambda each: bool(each.mac_address), after_the_first=True),
        docker_from="1.44",
    ),
    Limit("networks: gw_priority", _attachment(lambda each: bool(each.gw_priority)), docker_from="1.48"),
    Limit("networks: interface_name", _attachment(lambda each: bool(each.interface_name)), docker_from="1.49"),
    Limit("networks: link_local_ips", _attachment(lambda each: bool(each.link_local_ips)), podman_cannot=True),
    Limit("networks: driver_opts", _attachment(lambda each: bool(each.driver_opts)), podman_cannot=True),
    Limit("cgroup", lambda c: bool(c.spec.cgroup), podman_cannot=True),
    Limit("device_cgroup_rules", lambda c: bool(c.spec.device_cgroup_rules), podman_cannot=True),
    Limit("gpus, and devices that a driver hands out", lambda c: bool(c.spec.device_requests), podman_cannot=True),
    Limit("domainname", lambda c: bool(c.spec.domainname), podman_cannot=True),
    Limit("runtime", lambda c: bool(c.spec.runtime), podman_cannot=True),
    Limit("memswap_limit: -1", lambda c: c.spec.memswap_limit == -1, podman_cannot=True),
    Limit(
        "logging: driver",
        lambda c: c.spec.logging is not None and c.spec.logging.driver not in _PODMAN_LOG_DRIVERS,
        podman_cannot=True,
    ),
    Limit(
        "logging: options",
        lambda c: c.spec.logging is not None and not set(c.spec.logging.options) <= _PODMAN_LOG_OPTIONS,
        podman_cannot=True,
    ),
)

# What Podman carries out differently, and nothing breaks by it: told by `skerry-device doctor`, not refused.
PODMAN_DIFFERS = (
    ("logging: options: max-file", "one log file is kept, of max-size"),
    ("read_only", "some folders for temporary files are memory that can be written"),
    ("restart", "a restart policy is changed by making the container anew"),
    ("pull progress", "an image's layers are told, not its bytes"),
)


def older(api: str, than: str) -> bool:
    """Return whether one version of the Engine API came before another."""
    return _numbers(api) < _numbers(than)


def _numbers(api: str) -> tuple[int, ...]:
    return tuple(int(number) for number in api.split("."))


def left_out(container: WantedContainer, engine: EngineName, api: str) -> list[str]:
    """Return what `container` asks that this engine would leave out without a word."""
    return [limit.key for limit in _of(engine, api) if limit.asked(container)]


def keys_left_out(engine: EngineName, api: str) -> tuple[str, ...]:
    """Return all that this engine does not carry out."""
    return tuple(limit.key for limit in _of(engine, api))


def _of(engine: EngineName, api: str) -> Iterator[Limit]:
    """Podman tells an old version of Docker's API, and what came to it later it does not know either."""
    for limit in LIMITS:
        if (limit.docker_from and older(api, limit.docker_from)) or (engine == "podman" and limit.podman_cannot):
            yield limit


_PODMAN_NETWORK_OPTIONS = {
    "com.docker.network.bridge.name",
    "com.docker.network.driver.mtu",
    "mtu",
    "vlan",
    "isolate",
}


def network_left_out(network: WantedNetwork, engine: EngineName) -> list[str]:
    """Return what a network asks that this engine would leave out without a word."""
    if engine == "docker":
        return []
    asked = {
        "networks: ipam: aux_addresses": any(pool.aux_addresses for pool in network.pools),
        "networks: ipam: options": bool(network.ipam_options),
        "networks: driver_opts": not set(network.options) <= _PODMAN_NETWORK_OPTIONS,
    }
    return [key for key, is_asked in asked.items() if is_asked]
