"""What Skerry does with every key of Compose: one table, which the conversion obeys and the documentation shows.

A key that changes what an app is, and that a device could not honour, is refused; one that means something only to the
tool that runs the project, or only asks for comfort, is ignored with a warning.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum

from compose.tree import Plain


class Fate(Enum):
    """What becomes of a key."""

    SUPPORTED = "supported"
    IGNORED = "ignored"
    REFUSED = "refused"


@dataclass(frozen=True)
class Row:
    fate: Fate
    why: str = ""


@dataclass(frozen=True)
class Judged:
    """A key of a project that is not simply supported."""

    path: str
    row: Row


_NO_FIELD = "a device has no setting for it yet"
_HOST = "it joins the device or another app, which an app may not"
_SWARM = "it directs a cluster, and an app runs on one device"
_TOOL = "it concerns the developer's tool only"
_FIXED = "the device names and keeps what belongs to an app itself"


def _rows(fate: Fate, why: str, *keys: str) -> dict[str, Row]:
    return {key: Row(fate, why) for key in keys}


def _supported(*keys: str) -> dict[str, Row]:
    return _rows(Fate.SUPPORTED, "", *keys)


def _how(**keys: str) -> dict[str, Row]:
    return {key: Row(Fate.SUPPORTED, why) for key, why in keys.items()}


_SERVICE: dict[str, Row] = {
    **_supported("cap_add", "cap_drop", "command", "dns", "dns_search", "domainname", "entrypoint", "expose"),
    **_supported("group_add", "healthcheck", "hostname", "image", "init", "labels", "mem_limit", "memswap_limit"),
    **_supported("oom_score_adj", "pids_limit", "privileged", "read_only", "security_opt", "shm_size", "stdin_open"),
    **_supported("stop_grace_period", "stop_signal", "sysctls", "tmpfs", "tty", "ulimits", "user", "working_dir"),
    **_how(
        container_name="a name on the service's networks; the container itself is named by the device",
        build="the image is built when the app is pushed",
        platform="decides for which machine an image is built or pulled",
        pull_policy="always and build fetch or build anew when the app is pushed",
        environment="a name without a value is left out",
        env_file="read when the app is loaded",
        label_file="read when the app is loaded",
        extends="carried out when the app is loaded",
        profiles="chosen when the app is loaded",
        cpus="a fraction of processors",
        depends_on="all conditions; required; restart",
        devices="where the device's owner allows it",
        extra_hosts="one address for each name",
        links="an alias becomes one on the networks that both services share",
        logging="the drivers of the device's engine",
        network_mode="none, or host where the device's owner allows it",
        networks="without any, a service joins the app's default network",
        ports="published ranges only where they match the container's",
        restart="deploy.restart_policy counts where this is missing",
        scale="only 1",
        volumes="named volumes, memory, and the device's own paths where its owner allows them",
        deploy="",
    ),
    "x-skerry": Row(Fate.SUPPORTED, "telemetry: none, socket or tcp"),
    **_rows(Fate.IGNORED, _TOOL, "attach", "develop", "pull_refresh_after"),
    **_rows(Fate.IGNORED, "nothing on a device reads it", "annotations"),
    **_rows(Fate.IGNORED, "it means something on other systems only", "isolation", "cpu_count", "cpu_percent"),
    **_rows(Fate.REFUSED, _NO_FIELD, "blkio_config", "cgroup", "cgroup_parent", "cpu_period", "cpu_quota"),
    **_rows(Fate.REFUSED, _NO_FIELD, "cpu_rt_period", "cpu_rt_runtime", "cpu_shares", "cpuset", "device_cgroup_rules"),
    **_rows(Fate.REFUSED, _NO_FIELD, "dns_opt", "gpus", "mac_address", "mem_reservation", "mem_swappiness"),
    **_rows(Fate.REFUSED, _NO_FIELD, "oom_kill_disable", "runtime", "storage_opt", "volumes_from"),
    **_rows(Fate.REFUSED, _NO_FIELD, "post_start", "pre_start", "pre_stop"),
    **_rows(Fate.REFUSED, _HOST, "external_links", "ipc", "pid", "use_api_socket", "userns_mode", "uts"),
    **_rows(Fate.REFUSED, "files of the developer's machine do not travel yet; build them in", "configs", "secrets"),
    **_rows(Fate.REFUSED, "it is for Windows", "credential_spec"),
    **_rows(Fate.REFUSED, "nothing on a device provides it", "models", "provider"),
}

_INSIDE: dict[str, Row] = {
    **_rows(Fate.IGNORED, _SWARM, "deploy.endpoint_mode", "deploy.labels", "deploy.placement"),
    **_rows(Fate.IGNORED, "the device decides how a release is switched", "deploy.update_config"),
    **_rows(Fate.IGNORED, "the device decides how a release is switched", "deploy.rollback_config"),
    **_rows(
        Fate.IGNORED, "a device runs what it is told, and sets nothing aside", "deploy.resources.reservations.cpus"
    ),
    **_rows(
        Fate.IGNORED, "a device runs what it is told, and sets nothing aside", "deploy.resources.reservations.memory"
    ),
    **_rows(Fate.REFUSED, _NO_FIELD, "deploy.resources.reservations.devices"),
    **_rows(Fate.REFUSED, _SWARM, "deploy.resources.reservations.generic_resources"),
    **_rows(Fate.IGNORED, "the engine has delays of its own", "deploy.restart_policy.delay"),
    **_rows(Fate.IGNORED, "the engine has delays of its own", "deploy.restart_policy.window"),
    "deploy.mode": Row(Fate.SUPPORTED, "replicated or global"),
    "deploy.replicas": Row(Fate.SUPPORTED, "only 1"),
    **_rows(Fate.IGNORED, "the engines of devices do not know it; interval counts", "healthcheck.start_interval"),
    **_rows(
        Fate.REFUSED, _NO_FIELD, "networks.*.driver_opts", "networks.*.interface_name", "networks.*.link_local_ips"
    ),
    **_rows(Fate.REFUSED, _NO_FIELD, "networks.*.mac_address"),
    **_rows(Fate.IGNORED, "the order of networks has no meaning on a device", "networks.*.gw_priority"),
    **_rows(Fate.IGNORED, "the order of networks has no meaning on a device", "networks.*.priority"),
    **_supported(
        *(f"healthcheck.{key}" for key in ("test", "interval", "timeout", "start_period", "retries", "disable")),
        *(f"logging.{key}" for key in ("driver", "options")),
        *("networks.*", "networks.*.aliases", "networks.*.ipv4_address", "networks.*.ipv6_address"),
        *("ports[]", *(f"ports[].{key}" for key in ("target", "published", "host_ip", "protocol", "mode"))),
        *("volumes[]", *(f"volumes[].{key}" for key in ("type", "source", "target", "read_only"))),
        *("volumes[].bind", "volumes[].bind.propagation", "volumes[].bind.create_host_path"),
        *("volumes[].volume", "volumes[].volume.nocopy"),
        *("volumes[].tmpfs", "volumes[].tmpfs.size", "volumes[].tmpfs.mode"),
        *("deploy.resources", "deploy.resources.limits", "deploy.resources.reservations", "deploy.restart_policy"),
        *(f"deploy.resources.limits.{key}" for key in ("cpus", "memory", "pids")),
        *("deploy.restart_policy.condition", "deploy.restart_policy.max_attempts"),
    ),
    **_rows(Fate.IGNORED, "it is a note for people", "ports[].name", "ports[].app_protocol"),
    **_rows(Fate.IGNORED, "it has no effect on Linux", "volumes[].consistency"),
    **_rows(Fate.IGNORED, "devices have no labels of SELinux", "volumes[].bind.selinux"),
    **_rows(Fate.REFUSED, _NO_FIELD, "volumes[].bind.recursive", "volumes[].volume.subpath", "volumes[].image"),
    **_rows(Fate.IGNORED, "labels stand with the volume itself", "volumes[].volume.labels"),
}

_NETWORK: dict[str, Row] = {
    **_supported("driver_opts", "internal", "labels", "ipam", "ipam.config", "ipam.config[]"),
    "driver": Row(Fate.SUPPORTED, "bridge"),
    "ipam.config[].subnet": Row(Fate.SUPPORTED, "one"),
    "ipam.config[].gateway": Row(Fate.SUPPORTED, "one"),
    "ipam.driver": Row(Fate.SUPPORTED, "default"),
    "external": Row(Fate.REFUSED, _HOST),
    "name": Row(Fate.IGNORED, _FIXED),
    "attachable": Row(Fate.IGNORED, _SWARM),
    "enable_ipv4": Row(Fate.REFUSED, _NO_FIELD),
    "enable_ipv6": Row(Fate.REFUSED, _NO_FIELD),
    "ipam.options": Row(Fate.REFUSED, _NO_FIELD),
    "ipam.config[].ip_range": Row(Fate.REFUSED, _NO_FIELD),
    "ipam.config[].aux_addresses": Row(Fate.REFUSED, _NO_FIELD),
}

_VOLUME: dict[str, Row] = {
    **_supported("driver_opts", "labels"),
    "driver": Row(Fate.SUPPORTED, "local"),
    "external": Row(Fate.REFUSED, _HOST),
    "name": Row(Fate.IGNORED, _FIXED),
}

_BUILD: dict[str, Row] = {
    f"build.{key}": row
    for key, row in {
        **_supported("context", "dockerfile", "dockerfile_inline", "args", "labels", "target", "network"),
        **_supported("cache_from", "no_cache", "pull", "shm_size", "extra_hosts"),
        "platforms": Row(Fate.SUPPORTED, "one; or use the service's platform"),
        **_rows(Fate.IGNORED, "the app's registry names images itself", "tags"),
        **_rows(Fate.IGNORED, _TOOL, "cache_to", "no_cache_filter", "provenance", "sbom"),
        **_rows(Fate.IGNORED, "it means something on other systems only", "isolation"),
        **_rows(Fate.REFUSED, "the engine's builder does not know it", "additional_contexts", "entitlements"),
        **_rows(Fate.REFUSED, "the engine's builder does not know it", "privileged", "secrets", "ssh", "ulimits"),
    }.items()
}

ROWS: Mapping[str, Mapping[str, Row]] = {
    "services": {**_SERVICE, **_INSIDE, **_BUILD},
    "networks": _NETWORK,
    "volumes": _VOLUME,
}
TOP_LEVEL: Mapping[str, Row] = {
    **_supported("name", "services", "networks", "volumes"),
    "include": Row(Fate.SUPPORTED, "files on the developer's machine"),
    "version": Row(Fate.IGNORED, "it is obsolete"),
    "secrets": Row(Fate.SUPPORTED, "only what no service uses"),
    "configs": Row(Fate.SUPPORTED, "only what no service uses"),
    "models": Row(Fate.SUPPORTED, "only what no service uses"),
}


def judged(section: str, name: str, part: Mapping[str, Plain]) -> Iterator[Judged]:
    """Return the keys of one service, network or volume that are ignored or refused, in a stable order.

    Below a key that has rows of its own, what has no row is refused: a key that the table forgets does no harm.
    """
    yield from _judged(ROWS[section], dict(part), "", f"{section}.{name}")


def _judged(rows: Mapping[str, Row], value: Plain, pattern: str, path: str) -> Iterator[Judged]:
    if isinstance(value, list):
        for at, item in enumerate(value):
            yield from _judged(rows, item, f"{pattern}[]", f"{path}[{at}]")
    if not isinstance(value, dict):
        return
    for key in sorted(value):
        inner = f"{pattern}.{key}" if pattern else key
        if inner not in rows and f"{pattern}.*" in rows:
            inner = f"{pattern}.*"
        row = rows.get(inner, Row(Fate.SUPPORTED) if key.startswith("x-") else Row(Fate.REFUSED, _NO_FIELD))
        if row.fate is not Fate.SUPPORTED:
            if not _switched_off(value[key]):
                yield Judged(f"{path}.{key}", row)
        elif any(other.startswith((f"{inner}.", f"{inner}[]")) for other in rows):
            yield from _judged(rows, value[key], inner, f"{path}.{key}")


def _switched_off(value: Plain) -> bool:
    """Return whether a value asks for nothing. Zero is not such a value."""
    return value is False or value is None or value in ([], {}, "")


def as_markdown() -> str:
    """Return the table as the documentation shows it."""
    lines = ["| key | what Skerry does |", "|---|---|"]
    sections = {"": TOP_LEVEL, "services.*.": ROWS["services"], "networks.*.": _NETWORK, "volumes.*.": _VOLUME}
    for prefix, rows in sections.items():
        for key in sorted(rows):
            row = rows[key]
            if key.endswith(("[]", ".*")):
                continue
            why = f"{row.fate.value}: {row.why}" if row.why else row.fate.value
            lines.append(f"| `{prefix}{key}` | {why} |")
    return "\n".join(lines) + "\n"
