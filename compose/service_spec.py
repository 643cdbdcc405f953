"""One service of a project to one of an AppSpec. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from broker import appspec
from compose.errors import Unsupported
from compose.project import Attachment, Hook, Mount, Port, Project, Service, Skerry
from compose.running import replicas
from compose.service_files import placed
from compose.service_limits import is_handed_out, limits, switch
from compose.specified import specified
from compose.tmpfs import tmpfs_mount

Names = Mapping[str, str]


@dataclass(frozen=True)
class Renamed:
    """The names that parts of a project have on the device."""

    networks: Names
    volumes: Names
    configs: Names
    secrets: Names


_SOCKET = "/var/run/docker.sock"
_RESTART = re.compile(r"(no|always|unless-stopped|on-failure)(?::([0-9]{1,4}))?")
_DEPLOY_RESTART = {"none": "no", "on-failure": "on-failure", "any": "always"}


def service_spec(
    project: Project, names: Renamed, local_folder: Path | None
) -> Callable[[str, appspec.Image], appspec.Service]:
    """Return the function from a service's name and image to its spec.

    What lies in `local_folder` is on the developer's machine only, so a mount of it is refused.
    """

    def make(name: str, image: appspec.Image) -> appspec.Service:
        service = project.services[name]
        ours = service.skerry or Skerry()
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
            ports=tuple(_port(name, at, port, replicas(service)) for at, port in enumerate(published_ports(service))),
            expose=tuple(exposed for written in service.expose for exposed in _exposed(written)),
            mounts=_mounts(name, service, names.volumes, local_folder),
            networks=_attachments(project, name, names.networks),
            network_mode=_mode(name, "network_mode", service.network_mode),
            pid=_mode(name, "pid", service.pid or ""),
            ipc=_mode(name, "ipc", service.ipc),
            uts=_mode(name, "uts", service.uts),  # type: ignore[arg-type]
            userns_mode=_mode(name, "userns_mode", service.userns_mode),  # type: ignore[arg-type]
            cgroup=_mode(name, "cgroup", service.cgroup),  # type: ignore[arg-type]
            cgroup_parent=service.cgroup_parent,
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
            devices=tuple(
                f"{d.source}:{d.target or d.source}:{d.permissions}" for d in service.devices if not is_handed_out(d)
            ),
            device_cgroup_rules=service.device_cgroup_rules,
            group_add=service.group_add,
            extra_hosts={host: many[0] if len(many) == 1 else many for host, many in service.extra_hosts.items()},
            dns=service.dns,
            dns_opt=service.dns_opt,
            dns_search=service.dns_search,
            sysctls=service.sysctls,
            ulimits=_ulimits(service),
            runtime=service.runtime,
            storage_opt=service.storage_opt,
            annotations=service.annotations,
            volumes_from=service.volumes_from,
            configs=placed(name, "configs", service, names.configs),
            secrets=placed(name, "secrets", service, names.secrets),
            update=switch(name, "update_config", service.deploy.update_config if service.deploy else None),
            rollback=switch(name, "rollback_config", service.deploy.rollback_config if service.deploy else None),
            logging=specified(("services", name, "logging"), partial(_logging, service)),
            post_start=_hooks(name, "post_start", service.post_start),
            pre_stop=_hooks(name, "pre_stop", service.pre_stop),
            telemetry=appspec.Telemetry(access=ours.telemetry),
            redis=ours.redis,
            display=ours.display,
            lock=ours.lock,
            **limits(name, service),
        )

    return make


def published_ports(service: Service) -> tuple[Port, ...]:
    """Return the ports that are published: on the host's own network there is nothing to publish."""
    return () if service.network_mode == "host" else service.ports


def _port(name: str, at: int, port: Port, count: int) -> appspec.PublishedPort:
    """Return a port for the first replica. Of a range, each further one has the next: nothing is left to chance."""
    first, _, last = port.published.partition("-")
    room = int(last or first or 0) - int(first or 0) + 1
    if first and room < count:
        path = ("services", name, "ports", at)
        cure = f"publish a range such as {first}-{int(first) + count - 1}, or the container's port alone"
        raise Unsupported(f"{port.published} is not enough for {count} replicas; {cure}", path=path)
    return appspec.PublishedPort(
        target=port.target,
        published=int(first or 0),
        host_ip=port.host_ip,
        protocol=port.protocol,  # type: ignore[arg-type]
    )


def _exposed(written: str) -> list[str]:
    span, _, protocol = written.partition("/")
    first, _, last = span.partition("-")
    return [f"{port}/{protocol or 'tcp'}" for port in range(int(first), int(last or first) + 1)]


def _mounts(name: str, service: Service, volumes: Names, local_folder: Path | None) -> tuple[appspec.Mount, ...]:
    mounts = [_mount(name, at, mount, volumes, local_folder) for at, mount in enumerate(service.volumes)]
    if service.use_api_socket:
        mounts.append(appspec.Mount(type="bind", target=_SOCKET, source=_SOCKET, create_host_path=False))
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
            cure = "make a small file a config, copy it into the image with a Dockerfile, or use a volume"
            raise Unsupported(f"{mount.source} is on this machine and not on the device; {cure}", path=path)
    make = partial(
        appspec.Mount,
        type=mount.type,  # type: ignore[arg-type]
        target=mount.target,
        source=source,
        read_only=mount.read_only,
        create_host_path=mount.bind.create_host_path,
        propagation=mount.bind.propagation,
        recursive=mount.bind.recursive or "enabled",  # type: ignore[arg-type]
        no_copy=mount.volume.nocopy,
        subpath=mount.volume.subpath,
        tmpfs_size=mount.tmpfs.size or None,
        tmpfs_mode=mount.tmpfs.mode,
    )
    return specified(path, make)


def _inside(source: str, folder: Path) -> bool:
    return folder != Path("/") and Path(source).is_relative_to(folder)


_MODES = {
    "network_mode": ("none", "host", "service:", "container:"),
    "pid": ("host", "service:", "container:"),
    "ipc": ("none", "private", "shareable", "host", "service:", "container:"),
    "uts": ("host",),
    "userns_mode": ("host",),
    "cgroup": ("host", "private"),
}


def _mode(name: str, key: str, mode: str) -> str:
    """Return a namespace that may be asked for: the service's own, one of the app's, or what the owner may allow."""
    word, colon, _ = mode.partition(":")
    if not mode or word + colon in _MODES[key]:
        return mode
    if mode == "bridge":
        cure = "remove it to use the app's own network"
    else:
        known = ", ".join(each + "NAME" if each.endswith(":") else each for each in _MODES[key])
        cure = f"use {'networks, ' if key == 'network_mode' else ''}{known}"
    raise Unsupported(f"{mode[:60]!r} is not possible on a device; {cure}", path=("services", name, key))


def _hooks(name: str, key: str, hooks: tuple[Hook, ...]) -> tuple[appspec.Hook, ...]:
    return tuple(specified(("services", name, key, at), partial(_hook, hook)) for at, hook in enumerate(hooks))


def _hook(hook: Hook) -> appspec.Hook:
    return appspec.Hook(
        command=hook.command or (),
        user=hook.user,
        privileged=hook.privileged,
        working_dir=hook.working_dir,
        environment={key: value for key, value in hook.environment.items() if value is not None},
    )


def _attachments(project: Project, name: str, networks: Names) -> dict[str, appspec.Attachment]:
    service = project.services[name]
    given = {network: attachment or Attachment() for network, attachment in service.networks.items()}
    # By the names on the device, as the device ranks them: the service's own address is that of the first.
    first = min(given, key=lambda network: (-given[network].priority, networks[network]), default=None)
    if service.mac_address and first is None:
        raise Unsupported("needs a network of the app", path=("services", name, "mac_address"))
    result: dict[str, appspec.Attachment] = {}
    for network, attachment in given.items():
        own = (service.container_name,) if service.container_name else ()  # engines resolve it like an alias
        aliases = [*attachment.aliases, *own, *_linked_aliases(project, name, network)]
        make = partial(
            appspec.Attachment,
            aliases=tuple(dict.fromkeys(aliases)),
            ipv4_address=attachment.ipv4_address,
            ipv6_address=attachment.ipv6_address,
            link_local_ips=attachment.link_local_ips,
            mac_address=attachment.mac_address or (service.mac_address if network == first else ""),
            driver_opts=attachment.driver_opts,
            interface_name=attachment.interface_name,
            priority=attachment.priority,  # type: ignore[arg-type]
            gw_priority=attachment.gw_priority,  # type: ignore[arg-type]
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
        "start_interval_ms": check.start_interval,
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
