"""One service of a project to one of an AppSpec. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

from broker import appspec
from compose.errors import Unsupported
from compose.forms.values import INT_MAX
from compose.project import Mount, Port, Project, Service
from compose.specified import specified
from compose.tmpfs import tmpfs_mount

Names = Mapping[str, str]
_RESTART = re.compile(r"(no|always|unless-stopped|on-failure)(?::([0-9]{1,4}))?")
_DEPLOY_RESTART = {"none": "no", "on-failure": "on-failure", "any": "always"}


def service_spec(
    project: Project, networks: Names, volumes: Names, local_folder: Path | None
) -> Callable[[str, appspec.Image], appspec.Service]:
    """Return the function from a service's name and image to its spec.

    `networks` and `volumes` hold the names these have on the device. What lies in `local_folder` is on the developer's
    machine only, so a mount of it is refused.
    """

    def make(name: str, image: appspec.Image) -> appspec.Service:
        service = project.services[name]
        telemetry = service.skerry.telemetry if service.skerry else "none"
        return appspec.Service(
            image=image,
            command=service.command,
            entrypoint=service.entrypoint,
            environment={key: value for key, value in service.environment.items() if value is not None},
            user=service.user,
            working_dir=service.working_dir,
            hostname=service.hostname,
            domainname=service.domainname,
            init=service.init,
            tty=service.tty,
            stdin_open=service.stdin_open,
            read_only=service.read_only,
            privileged=service.privileged,
            labels=service.labels,
            ports=tuple(_port(name, at, port) for at, port in enumerate(service.ports)),
            expose=tuple(exposed for written in service.expose for exposed in _exposed(written)),
            mounts=_mounts(name, service, volumes, local_folder),
            networks=_attachments(project, name, networks),
            network_mode=_network_mode(name, service),
            depends_on={
                other: appspec.Dependency(condition=d.condition, required=d.required, restart=d.restart)  # type: ignore[arg-type]
                for other, d in service.depends_on.items()
            },
            healthcheck=specified(("services", name, "healthcheck"), partial(_healthcheck, service)),
            restart=_restart(name, service),
            stop_signal=service.stop_signal,
            stop_grace_ms=10_000 if service.stop_grace_period is None else service.stop_grace_period,
            cap_add=service.cap_add,
            cap_drop=service.cap_drop,
            security_opt=service.security_opt,
            devices=tuple(f"{d.source}:{d.target or d.source}:{d.permissions}" for d in service.devices),
            group_add=service.group_add,
            extra_hosts=_extra_hosts(name, service),
            dns=service.dns,
            dns_search=service.dns_search,
            sysctls=service.sysctls,
            ulimits=_ulimits(service),
            shm_size=service.shm_size,
            memswap_limit=service.memswap_limit,
            oom_score_adj=service.oom_score_adj,
            logging=specified(("services", name, "logging"), partial(_logging, service)),
            telemetry=appspec.Telemetry(access=telemetry),
            **_limits(name, service),
        )

    return make


def _port(name: str, at: int, port: Port) -> appspec.PublishedPort:
    if "-" in port.published:
        message = f"{port.published} for one container port leaves the choice open; name one port"
        raise Unsupported(message, path=("services", name, "ports", at))
    published = int(port.published or 0)
    return appspec.PublishedPort(
        target=port.target,
        published=published,
        host_ip=port.host_ip,
        protocol=port.protocol,  # type: ignore[arg-type]
    )


def _exposed(written: str) -> list[str]:
    span, _, protocol = written.partition("/")
    first, _, last = span.partition("-")
    return [f"{port}/{protocol or 'tcp'}" for port in range(int(first), int(last or first) + 1)]


def _mounts(name: str, service: Service, volumes: Names, local_folder: Path | None) -> tuple[appspec.Mount, ...]:
    mounts = [_mount(name, at, mount, volumes, local_folder) for at, mount in enumerate(service.volumes)]
    mounts += [tmpfs_mount(written, ("services", name, "tmpfs", at)) for at, written in enumerate(service.tmpfs)]
    return tuple(mounts)


def _mount(name: str, at: int, mount: Mount, volumes: Names, local_folder: Path | None) -> appspec.Mount:
    path = ("services", name, "volumes", at)
    if mount.type not in ("volume", "bind", "tmpfs"):
        raise Unsupported(f"a mount of type {mount.type} is not possible on a device", path=path)
    if not mount.target.startswith("/"):
        raise Unsupported(f"the target {mount.target[:80]!r} must be an absolute path", path=path)
    source = volumes.get(mount.source, mount.source) if mount.type == "volume" else mount.source
    if mount.type == "bind":
        source = posixpath.normpath(source)
        if local_folder is not None and _inside(source, local_folder):
            cure = "copy it into the image with a Dockerfile, or use a volume"
            raise Unsupported(f"{mount.source} is on this machine and not on the device; {cure}", path=path)
    make = partial(
        appspec.Mount,
        type=mount.type,  # type: ignore[arg-type]
        target=mount.target,
        source=source,
        read_only=mount.read_only,
        create_host_path=mount.bind.create_host_path,
        propagation=mount.bind.propagation,
        no_copy=mount.volume.nocopy,
        tmpfs_size=mount.tmpfs.size or None,
        tmpfs_mode=mount.tmpfs.mode,
    )
    return specified(path, make)


def _inside(source: str, folder: Path) -> bool:
    return folder != Path("/") and Path(source).is_relative_to(folder)


def _network_mode(name: str, service: Service) -> Literal["", "none", "host"]:
    match service.network_mode:
        case "" | "none" | "host" as mode:
            return mode
    cure = "remove it to use the app's own network" if service.network_mode == "bridge" else "use networks"
    message = f"{service.network_mode[:60]!r} is not possible on a device; {cure}"
    raise Unsupported(message, path=("services", name, "network_mode"))


def _attachments(project: Project, name: str, networks: Names) -> dict[str, appspec.Attachment]:
    service = project.services[name]
    result: dict[str, appspec.Attachment] = {}
    for network, attachment in service.networks.items():
        given = attachment.aliases if attachment else ()
        own = (service.container_name,) if service.container_name else ()  # engines resolve it like an alias
        aliases = [*given, *own, *_linked_aliases(project, name, network)]
        make = partial(
            appspec.Attachment,
            aliases=tuple(dict.fromkeys(aliases)),
            ipv4_address=attachment.ipv4_address if attachment else "",
            ipv6_address=attachment.ipv6_address if attachment else "",
        )
        result[networks[network]] = specified(("services", name, "networks", network), make)
    return result


def _linked_aliases(project: Project, name: str, network: str) -> list[str]:
    """Return the names by which other services on `network` want to reach this one."""
    aliases: list[str] = []
    for other in project.services.values():
        for link in other.links:
            target, _, alias = link.partition(":")
            if target == name and alias and network in other.networks:
                aliases.append(alias)
    return aliases


def _healthcheck(service: Service) -> appspec.Healthcheck | None:
    check = service.healthcheck
    if check is None:
        return None
    if check.disable or check.test[:1] == ("NONE",):
        return appspec.Healthcheck(test=("NONE",))
    given = {
        "interval_ms": check.interval,
        "timeout_ms": check.timeout,
        "start_period_ms": check.start_period,
        "retries": check.retries,
    }
    return appspec.Healthcheck(test=check.test, **{key: value for key, value in given.items() if value is not None})


def _restart(name: str, service: Service) -> appspec.Restart:
    if service.restart:
        match = _RESTART.fullmatch(service.restart)
        if match is None or (match[2] and match[1] != "on-failure"):
            message = f"{service.restart[:40]!r} is not one of no, always, unless-stopped, on-failure[:times]"
            raise Unsupported(message, path=("services", name, "restart"))
        return appspec.Restart(policy=match[1], retries=int(match[2] or 0))  # type: ignore[arg-type]
    policy = service.deploy.restart_policy if service.deploy else None
    if policy is None:
        return appspec.Restart()
    word = _DEPLOY_RESTART.get(policy.condition)
    if word is None:
        path = ("services", name, "deploy", "restart_policy", "condition")
        raise Unsupported(f"{policy.condition[:40]!r} is not one of none, on-failure, any", path=path)
    retries = (policy.max_attempts or 0) if word == "on-failure" else 0
    return appspec.Restart(policy=word, retries=retries)  # type: ignore[arg-type]


def _extra_hosts(name: str, service: Service) -> dict[str, str]:
    hosts: dict[str, str] = {}
    for host, addresses in service.extra_hosts.items():
        if len(addresses) != 1:
            raise Unsupported("must have one address", path=("services", name, "extra_hosts", host))
        hosts[host] = addresses[0]
    return hosts


def _ulimits(service: Service) -> dict[str, appspec.Ulimit]:
    return {
        name: appspec.Ulimit(soft=limit, hard=limit)
        if isinstance(limit, int)
        else appspec.Ulimit(soft=limit.soft, hard=limit.hard)
        for name, limit in service.ulimits.items()
    }


def _logging(service: Service) -> appspec.Logging | None:
    if service.logging is None:
        return None
    options = service.logging.options
    return (
        appspec.Logging(driver=service.logging.driver, options=options)
        if service.logging.driver
        else (appspec.Logging(options=options) if options else None)
    )


def _limits(name: str, service: Service) -> dict[str, Any]:
    deploy = service.deploy
    if deploy is not None and deploy.mode not in ("", "replicated", "global"):
        raise Unsupported("must be replicated or global", path=("services", name, "deploy", "mode"))
    count = service.scale if service.scale is not None else deploy.replicas if deploy else None
    if count not in (None, 1):
        raise Unsupported(
            f"is {count}, but a device runs one container of each service", path=("services", name, "scale")
        )
    limits = deploy.resources.limits if deploy else None
    cpus = limits.cpus if limits and limits.cpus is not None else service.cpus
    memory = limits.memory if limits and limits.memory is not None else service.mem_limit
    pids = limits.pids if limits and limits.pids is not None else service.pids_limit
    if cpus is not None and not 0 <= cpus * 10**9 <= INT_MAX:
        raise Unsupported("must be a number of processors", path=("services", name, "cpus"))
    return {
        "nano_cpus": round(cpus * 10**9) if cpus else None,
        "mem_limit": memory or None,
        "pids_limit": pids or None,
    }
