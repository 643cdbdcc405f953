"""From what is wanted to the arguments of the Engine API: pure, so that it can be tested as data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from docker.types import DeviceRequest, IPAMConfig, IPAMPool
from docker.types import Mount as DockerMount
from docker.types import Ulimit as DockerUlimit

from broker.appspec import Blkio, Healthcheck, Pool, Service
from broker.engine_limits import older
from device.engine.port import BindOrVolume, WantedContainer, WantedNetwork

NANO = 1_000_000  # nanoseconds in a millisecond
DAY_MS = 24 * 3600 * 1000  # more than any check of sense asks for
INTERFACE_NAME = "com.docker.network.endpoint.ifname"


def host_options(container: WantedContainer) -> dict[str, Any]:
    """Return the arguments of `APIClient.create_host_config`."""
    spec = container.spec
    options: dict[str, Any] = {
        "restart_policy": {"Name": spec.restart.policy, "MaximumRetryCount": spec.restart.retries},
        "mounts": [docker_mount(mount) for mount in container.mounts if not _is_by_options(mount)],
        "tmpfs": {mount.target: tmpfs_options(mount) for mount in container.mounts if _is_by_options(mount)},
        "port_bindings": _bindings(spec),
        "extra_hosts": _extra_hosts(container),
        "privileged": spec.privileged,
        "read_only": spec.read_only,
        "cap_add": list(spec.cap_add),
        "cap_drop": list(spec.cap_drop),
        "security_opt": list(spec.security_opt),
        "devices": list(spec.devices),
        "device_cgroup_rules": list(spec.device_cgroup_rules),
        "group_add": list(spec.group_add),
        "dns": list(spec.dns),
        "dns_opt": list(spec.dns_opt),
        "dns_search": list(spec.dns_search),
        "sysctls": dict(spec.sysctls),
        "ulimits": [DockerUlimit(name=name, soft=u.soft, hard=u.hard) for name, u in sorted(spec.ulimits.items())],
        "storage_opt": dict(spec.storage_opt),
        "runtime": spec.runtime,
        "init": spec.init,
        "volumes_from": [_volumes_from(container, source) for source in spec.volumes_from],
        **_limits(spec),
        **_namespaces(container),
    }
    if spec.device_requests:
        options["device_requests"] = [
            DeviceRequest(
                driver=each.driver,
                count=each.count,
                device_ids=list(each.device_ids),
                capabilities=[list(each.capabilities)] if each.capabilities else [],
                options=dict(each.options),
            )
            for each in spec.device_requests
        ]
    if spec.logging is not None:
        options["log_config"] = {"Type": spec.logging.driver, "Config": dict(spec.logging.options)}
    return {name: value for name, value in options.items() if value not in (None, [], {}, "")}


def _limits(spec: Service) -> dict[str, Any]:
    limits: dict[str, Any] = {
        "shm_size": spec.shm_size,
        "mem_limit": spec.mem_limit,
        "memswap_limit": spec.memswap_limit,
        "mem_reservation": spec.mem_reservation,
        "mem_swappiness": spec.mem_swappiness,
        "nano_cpus": spec.nano_cpus,
        "cpu_shares": spec.cpu_shares,
        "cpu_period": spec.cpu_period,
        "cpu_quota": spec.cpu_quota,
        "cpu_rt_period": spec.cpu_rt_period,
        "cpu_rt_runtime": spec.cpu_rt_runtime,
        "cpuset_cpus": spec.cpuset,
        "pids_limit": spec.pids_limit,
        "oom_score_adj": spec.oom_score_adj,
        "oom_kill_disable": spec.oom_kill_disable or None,
    }
    return limits | (_blkio(spec.blkio) if spec.blkio is not None else {})


def _blkio(blkio: Blkio) -> dict[str, Any]:
    def rates(kind: str) -> list[dict[str, Any]]:
        return [{"Path": each.path, "Rate": each.rate} for each in getattr(blkio, kind)]

    kinds = ("device_read_bps", "device_read_iops", "device_write_bps", "device_write_iops")
    return {
        "blkio_weight": blkio.weight or None,
        "blkio_weight_device": [{"Path": each.path, "Weight": each.weight} for each in blkio.weight_device],
        **{kind: rates(kind) for kind in kinds},
    }


def _namespaces(container: WantedContainer) -> dict[str, str]:
    spec = container.spec

    def mode(written: str) -> str:
        word, _, other = written.partition(":")
        return f"container:{container.joined[other]}" if word == "service" else written

    return {
        "network_mode": mode(spec.network_mode) or next(iter(container.networks), "none"),
        "pid_mode": mode(spec.pid),
        "ipc_mode": mode(spec.ipc),
        "uts_mode": spec.uts,
        "userns_mode": spec.userns_mode,
        "cgroupns": spec.cgroup,
        "cgroup_parent": spec.cgroup_parent,
    }


def _volumes_from(container: WantedContainer, source: str) -> str:
    if source.startswith("container:"):  # outside of the app, by the name that the engine knows
        return source.removeprefix("container:")
    other, _, access = source.partition(":")
    return f"{container.joined[other]}:{access or 'rw'}"


def _extra_hosts(container: WantedContainer) -> list[str]:
    """Return one line for each address: a name may have several."""
    return [
        f"{name}:{address}"
        for name, addresses in sorted(container.extra_hosts.items())
        for address in ((addresses,) if isinstance(addresses, str) else addresses)
    ]


def with_later_host_options(host: dict[str, Any], container: WantedContainer) -> dict[str, Any]:
    """Return the host configuration with what docker-py has no argument for."""
    return host | ({"Annotations": dict(container.spec.annotations)} if container.spec.annotations else {})


def with_later_options(config: dict[str, Any], container: WantedContainer, api: str) -> dict[str, Any]:
    """Return the container's configuration with what docker-py has no argument for."""
    check = container.spec.healthcheck
    if check is None or check.start_interval_ms is None or older(api, "1.44"):
        return config
    return config | {"Healthcheck": config["Healthcheck"] | {"StartInterval": check.start_interval_ms * NANO}}


def endpoint_options(container: WantedContainer, network: str) -> dict[str, Any]:
    """Return the arguments of `APIClient.create_endpoint_config`."""
    ipv4, ipv6 = container.addresses[network]
    options: dict[str, Any] = {
        "aliases": list(container.networks[network]),
        "ipv4_address": ipv4 or None,
        "ipv6_address": ipv6 or None,
    }
    attachment = container.attachments.get(network)
    if attachment is None:
        return options
    named = {INTERFACE_NAME: attachment.interface_name} if attachment.interface_name else {}
    return options | {
        "link_local_ips": list(attachment.link_local_ips) or None,
        "mac_address": attachment.mac_address or None,
        "driver_opt": dict(attachment.driver_opts) | named or None,
    }


def with_later_endpoint_options(endpoint: dict[str, Any], container: WantedContainer, network: str) -> dict[str, Any]:
    """Return the endpoint's configuration with what docker-py has no argument for."""
    attachment = container.attachments.get(network)
    return endpoint | ({"GwPriority": attachment.gw_priority} if attachment and attachment.gw_priority else {})


def ipam(network: WantedNetwork) -> IPAMConfig | None:
    """Return the addresses of a network, or None where the engine chooses."""
    first = (Pool(subnet=network.subnet, gateway=network.gateway),) if network.subnet else ()
    pools = first or network.pools
    if not pools and not network.ipam_options:
        return None
    return IPAMConfig(
        pool_configs=[
            IPAMPool(
                subnet=pool.subnet,
                gateway=pool.gateway or None,
                iprange=pool.ip_range or None,
                aux_addresses=dict(pool.aux_addresses) or None,
            )
            for pool in pools
        ],
        options=dict(network.ipam_options) or None,
    )


def container_options(container: WantedContainer) -> dict[str, Any]:
    """Return the arguments of `APIClient.create_container` besides host and networking configuration."""
    spec = container.spec
    options: dict[str, Any] = {
        "image": container.image,
        "command": None if spec.command is None else list(spec.command),
        "environment": dict(container.environment),
        "labels": dict(container.labels),
        "user": spec.user,
        "working_dir": spec.working_dir,
        "hostname": spec.hostname,
        "domainname": spec.domainname,
        "tty": spec.tty,
        "stdin_open": spec.stdin_open,
        "stop_signal": spec.stop_signal,
        "stop_timeout": None if spec.stop_grace_ms == 10_000 else -(-spec.stop_grace_ms // 1000),
        "ports": _exposed(spec),
        "healthcheck": None if spec.healthcheck is None else _healthcheck(spec.healthcheck),
        # Engines before API 1.44 read the first network's address here alone; later ones want both to agree.
        "mac_address": next((each.mac_address for each in container.attachments.values()), ""),
    }
    told = {name: value for name, value in options.items() if value not in (None, "", [], {})}
    if spec.entrypoint is not None:
        told["entrypoint"] = list(spec.entrypoint)  # an empty one too: it takes the image's own away
    return told


def _exposed(spec: Service) -> list[tuple[int, str]]:
    ports: set[tuple[int, str]] = {(port.target, port.protocol) for port in spec.ports}
    for text in spec.expose:
        number, _, protocol = text.partition("/")
        first, _, last = number.partition("-")
        ports |= {(port, protocol or "tcp") for port in range(int(first), int(last or first) + 1)}
    return sorted(ports)


def _bindings(spec: Service) -> dict[str, list[tuple[str, int | None]]]:
    bindings: dict[str, list[tuple[str, int | None]]] = {}
    for port in spec.ports if spec.network_mode != "host" else ():  # there every port is the host's own already
        bindings.setdefault(f"{port.target}/{port.protocol}", []).append((port.host_ip, port.published or None))
    return bindings


def _healthcheck(check: Healthcheck) -> dict[str, Any]:
    if check.test[:1] == ("NONE",):
        return {"test": ["NONE"]}
    return {
        "test": list(check.test),
        "interval": check.interval_ms * NANO,
        "timeout": check.timeout_ms * NANO,
        "start_period": check.start_period_ms * NANO,
        "retries": check.retries,
    }


def healthcheck_of(config: Mapping[str, Any] | None) -> Healthcheck | None:
    """Return the check an image's configuration holds, with the engine's defaults; None without one."""
    test = tuple((config or {}).get("Test") or ())
    if config is None or not test or test[0] == "NONE":
        return None
    defaults = Healthcheck(test=test)

    def millis(key: str, default: int) -> int:
        return min(-(-int(config.get(key) or 0) // NANO), DAY_MS) or default

    return Healthcheck(
        test=test,
        interval_ms=millis("Interval", defaults.interval_ms),
        timeout_ms=millis("Timeout", defaults.timeout_ms),
        start_period_ms=millis("StartPeriod", 0),
        start_interval_ms=millis("StartInterval", 0) or None,
        retries=min(int(config.get("Retries") or 0), 1000) or defaults.retries,
    )


def _is_by_options(mount: BindOrVolume) -> bool:
    """Return whether a mount of memory asks what only the older, textual form of the API can say."""
    return mount.type == "tmpfs" and (mount.tmpfs_uid is not None or mount.tmpfs_gid is not None or mount.tmpfs_exec)


def tmpfs_options(mount: BindOrVolume, *more: str) -> str:
    """Return the options of a mount of memory as one text."""
    numbers = {"size": mount.tmpfs_size, "uid": mount.tmpfs_uid, "gid": mount.tmpfs_gid}
    words = [f"{key}={value}" for key, value in numbers.items() if value is not None]
    words += [f"mode={mount.tmpfs_mode:o}"] if mount.tmpfs_mode is not None else []
    words += ["exec"] if mount.tmpfs_exec else []
    return ",".join([*words, *(["ro"] if mount.read_only else []), *more])


_RECURSIVE = {"disabled": "NonRecursive", "writable": "ReadOnlyNonRecursive", "readonly": "ReadOnlyForceRecursive"}


def docker_mount(mount: BindOrVolume) -> DockerMount:
    """Return docker-py's form of a mount."""
    made = DockerMount(
        target=mount.target,
        source=mount.source or None,
        type=mount.type,
        read_only=mount.read_only,
        propagation=(mount.propagation or None) if mount.type == "bind" else None,
        no_copy=mount.no_copy if mount.type == "volume" else False,
        subpath=(mount.subpath or None) if mount.type == "volume" else None,
        tmpfs_size=mount.tmpfs_size if mount.type == "tmpfs" else None,
        tmpfs_mode=mount.tmpfs_mode if mount.type == "tmpfs" else None,
    )
    if mount.type == "bind" and mount.recursive in _RECURSIVE:
        made["BindOptions"] = made.get("BindOptions", {}) | {_RECURSIVE[mount.recursive]: True}
    return made
