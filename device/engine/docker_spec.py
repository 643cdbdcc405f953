"""From a wanted container to the arguments of the Engine API: pure, so that it can be tested as data."""

from __future__ import annotations

from typing import Any

from docker.types import Mount as DockerMount
from docker.types import Ulimit as DockerUlimit

from broker.appspec import Healthcheck, Service
from device.engine.port import BindOrVolume, WantedContainer

NANO = 1_000_000  # nanoseconds in a millisecond


def host_options(container: WantedContainer) -> dict[str, Any]:
    """Return the arguments of `APIClient.create_host_config`."""
    spec = container.spec
    options: dict[str, Any] = {
        "restart_policy": {"Name": spec.restart.policy, "MaximumRetryCount": spec.restart.retries},
        "mounts": [docker_mount(mount) for mount in container.mounts],
        "port_bindings": _bindings(spec),
        "extra_hosts": dict(container.extra_hosts),
        "privileged": spec.privileged,
        "read_only": spec.read_only,
        "cap_add": list(spec.cap_add),
        "cap_drop": list(spec.cap_drop),
        "security_opt": list(spec.security_opt),
        "devices": list(spec.devices),
        "group_add": list(spec.group_add),
        "dns": list(spec.dns),
        "dns_search": list(spec.dns_search),
        "sysctls": dict(spec.sysctls),
        "ulimits": [DockerUlimit(name=name, soft=u.soft, hard=u.hard) for name, u in sorted(spec.ulimits.items())],
        "shm_size": spec.shm_size,
        "mem_limit": spec.mem_limit,
        "memswap_limit": spec.memswap_limit,
        "nano_cpus": spec.nano_cpus,
        "pids_limit": spec.pids_limit,
        "oom_score_adj": spec.oom_score_adj,
        "init": spec.init,
        "network_mode": spec.network_mode or next(iter(container.networks), "none"),
    }
    if spec.logging is not None:
        options["log_config"] = {"Type": spec.logging.driver, "Config": dict(spec.logging.options)}
    return {name: value for name, value in options.items() if value not in (None, [], {}, "")}


def container_options(container: WantedContainer) -> dict[str, Any]:
    """Return the arguments of `APIClient.create_container` besides host and networking configuration."""
    spec = container.spec
    options: dict[str, Any] = {
        "image": container.image,
        "name": container.name,
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
        "ports": _exposed(spec),
        "healthcheck": None if spec.healthcheck is None else _healthcheck(spec.healthcheck),
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
    for port in spec.ports:
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


def docker_mount(mount: BindOrVolume) -> DockerMount:
    """Return docker-py's form of a mount."""
    return DockerMount(
        target=mount.target,
        source=mount.source or None,
        type=mount.type,
        read_only=mount.read_only,
        propagation=(mount.propagation or None) if mount.type == "bind" else None,
        no_copy=mount.no_copy if mount.type == "volume" else False,
        tmpfs_size=mount.tmpfs_size if mount.type == "tmpfs" else None,
        tmpfs_mode=mount.tmpfs_mode if mount.type == "tmpfs" else None,
    )
