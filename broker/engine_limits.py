"""What some engines do not carry out: one table. What an engine would leave out unseen is refused by name. Pure.

Docker is known by the version of its API. Podman tells an old version of Docker's API, and what came to it later it
does not know either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from broker.appspec import Attachment, Mount, Pool, Service

PODMAN = "podman"
_PODMAN_LOG_DRIVERS = frozenset({"json-file", "k8s-file", "journald", "none", "passthrough"})
_PODMAN_LOG_OPTIONS = frozenset({"max-size", "max-file", "path", "tag"})


@dataclass(frozen=True)
class Limit:
    """A key (in Compose's words), who asks it, the Engine API that Docker has it from, and whether Podman lacks it."""

    key: str
    asked: Callable[[Service], bool]
    docker_from: str = ""
    podman_cannot: bool = False


def _mount(test: Callable[[Mount], bool]) -> Callable[[Service], bool]:
    return lambda service: any(test(mount) for mount in service.mounts)


def _attachment(test: Callable[[Attachment], bool], *, after_the_first: bool = False) -> Callable[[Service], bool]:
    return lambda service: any(test(each) for _, each in service.ranked_networks[int(after_the_first) :])


LIMITS = (
    Limit("annotations", lambda s: bool(s.annotations), docker_from="1.43"),
    Limit(
        "volumes: recursive writable or readonly",
        _mount(lambda m: m.recursive in ("writable", "readonly")),
        docker_from="1.44",
    ),
    Limit("volumes: subpath", _mount(lambda m: bool(m.subpath)), docker_from="1.45"),
    Limit(
        "tmpfs: uid and gid",
        _mount(lambda m: m.tmpfs_uid is not None or m.tmpfs_gid is not None),
        podman_cannot=True,
    ),
    Limit(
        "networks: mac_address on another than the first",
        _attachment(lambda a: bool(a.mac_address), after_the_first=True),
        docker_from="1.44",
    ),
    Limit("networks: gw_priority", _attachment(lambda a: bool(a.gw_priority)), docker_from="1.48"),
    Limit("networks: interface_name", _attachment(lambda a: bool(a.interface_name)), docker_from="1.49"),
    Limit("networks: link_local_ips", _attachment(lambda a: bool(a.link_local_ips)), podman_cannot=True),
    Limit("networks: driver_opts", _attachment(lambda a: bool(a.driver_opts)), podman_cannot=True),
    Limit("cgroup", lambda s: bool(s.cgroup), podman_cannot=True),
    Limit("device_cgroup_rules", lambda s: bool(s.device_cgroup_rules), podman_cannot=True),
    Limit("gpus, and devices that a driver hands out", lambda s: bool(s.device_requests), podman_cannot=True),
    Limit("domainname", lambda s: bool(s.domainname), podman_cannot=True),
    Limit("runtime", lambda s: bool(s.runtime), podman_cannot=True),
    Limit("memswap_limit: -1", lambda s: s.memswap_limit == -1, podman_cannot=True),
    Limit(
        "logging: driver",
        lambda s: s.logging is not None and s.logging.driver not in _PODMAN_LOG_DRIVERS,
        podman_cannot=True,
    ),
    Limit(
        "logging: options",
        lambda s: s.logging is not None and not set(s.logging.options) <= _PODMAN_LOG_OPTIONS,
        podman_cannot=True,
    ),
)


def older(api: str, than: str) -> bool:
    """Return whether one version of the Engine API came before another."""
    return _numbers(api) < _numbers(than)


def _numbers(api: str) -> tuple[int, ...]:
    return tuple(int(number) if number.isdecimal() else 0 for number in api.split("."))


def left_out(service: Service, engine: str, api: str) -> list[Limit]:
    """Return what `service` asks that this engine would leave out without a word."""
    return [limit for limit in _of(engine, api) if limit.asked(service)]


def asked_later(service: Service) -> list[Limit]:
    """Return what `service` asks that not every engine has."""
    return [limit for limit in LIMITS if limit.asked(service)]


def keys_left_out(engine: str, api: str) -> tuple[str, ...]:
    """Return all that this engine does not carry out."""
    return tuple(limit.key for limit in _of(engine, api))


_PODMAN_NETWORK_OPTIONS = frozenset(
    {"com.docker.network.bridge.name", "com.docker.network.driver.mtu", "mtu", "vlan", "isolate"}
)


def network_left_out(
    engine: str, *, pools: Sequence[Pool], ipam_options: Mapping[str, str], options: Mapping[str, str]
) -> list[str]:
    """Return what a network asks that this engine would leave out without a word."""
    asked = {
        "networks: ipam: aux_addresses": any(pool.aux_addresses for pool in pools),
        "networks: ipam: options": bool(ipam_options),
        "networks: driver_opts": not set(options) <= _PODMAN_NETWORK_OPTIONS,
    }
    return [key for key, is_asked in asked.items() if is_asked and engine == PODMAN]


def _of(engine: str, api: str) -> Iterator[Limit]:
    for limit in LIMITS:
        if (limit.docker_from and older(api, limit.docker_from)) or (engine == PODMAN and limit.podman_cannot):
            yield limit
