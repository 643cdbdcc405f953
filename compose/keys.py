"""What Skerry does with every key of Compose: one table, which the conversion obeys and the documentation shows.

A key that changes what an app is, and that a device could not honour, is refused; one that means something only to the
tool that runs the project, or only asks for comfort, is ignored with a warning.
"""

from __future__ import annotations

import re
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


_NO_FIELD = "no engine of a device can be told of it"
_HOST = "it joins the device or another app, which an app may not"
_OWNER = "where the device's owner allows it"
_SWARM = "it directs a cluster, and an app runs on one device"
_TOOL = "it concerns the developer's tool only"
_FIXED = "the device names networks and volumes after the app itself, so that no app reaches another's"
_OTHER_SYSTEMS = "it means something on other systems only"
_BUILDX = "where docker buildx is installed on the machine that pushes"
_CONTENT = "up to 32 KiB travel with the release, 48 KiB an app"
_SEALED = "its value, up to 8 KiB, goes sealed to each device, and is in no release"


def _rows(fate: Fate, why: str, *keys: str) -> dict[str, Row]:
    return {key: Row(fate, why) for key in keys}


def _supported(*keys: str) -> dict[str, Row]:
    return _rows(Fate.SUPPORTED, "", *keys)


def _how(**keys: str) -> dict[str, Row]:
    return {key: Row(Fate.SUPPORTED, why) for key, why in keys.items()}


_SERVICE: dict[str, Row] = {
    **_supported("blkio_config", "cap_drop", "command", "cpu_period", "cpu_quota", "cpu_rt_period", "cpu_rt_runtime"),
    **_supported("cpu_shares", "cpuset", "dns", "dns_opt", "dns_search", "domainname", "entrypoint", "expose"),
    **_supported("group_add", "healthcheck", "hostname", "image", "init", "labels", "mem_limit", "mem_reservation"),
    **_supported("mem_swappiness", "memswap_limit", "oom_score_adj", "pids_limit", "read_only", "shm_size"),
    **_supported("stdin_open", "stop_grace_period", "stop_signal", "storage_opt", "tmpfs", "tty", "ulimits", "user"),
    **_supported("working_dir"),
    **_rows(Fate.SUPPORTED, _OWNER, "cap_add", "cgroup_parent", "device_cgroup_rules", "devices", "gpus"),
    **_rows(Fate.SUPPORTED, _OWNER, "privileged", "runtime", "security_opt", "sysctls"),
    **_how(
        annotations=f"{_OWNER}; from Engine API 1.43",
        container_name="a name on the service's networks; the container itself is named by the device",
        build="the image is built when the app is pushed",
        platform="decides for which machine an image is built or pulled",
        pull_policy="always and build fetch or build anew when the app is pushed",
        environment="a name without a value is left out",
        env_file="read when the app is loaded",
        label_file="read when the app is loaded",
        extends="carried out when the app is loaded",
        profiles="chosen when the app is loaded",
        cgroup="private, or host where the device's owner allows it",
        configs="a file in the container, which it cannot change",
        cpus="a fraction of processors",
        depends_on="all conditions; required; restart",
        extra_hosts="one address or several for each name",
        ipc="none, private, shareable, service:NAME; host or container:NAME where the device's owner allows it",
        links="an alias becomes one on the networks that both services share",
        logging=f"json-file, local, journald or none; drivers that send logs elsewhere {_OWNER}",
        mac_address="on the network that is joined first",
        network_mode="none, service:NAME; host or container:NAME where the device's owner allows it",
        networks="without any, a service joins the app's default network",
        oom_kill_disable="with mem_limit",
        pid="service:NAME; host or container:NAME where the device's owner allows it",
        post_start="in the container, once it runs; privileged where the device's owner allows it",
        pre_start="each is a service of its own, NAME-pre-start-N, that must end well before this one starts",
        pre_stop="in the container, before it is asked to end; privileged where the device's owner allows it",
        ports="each replica has the next port of a range; 80, 443 and from 1024 on, others where the owner allows them",
        restart="deploy.restart_policy counts where this is missing",
        scale="as deploy.replicas",
        secrets="a file in the container, in memory, which it cannot change",
        userns_mode="host, where the device's owner allows it",
        uts="host, where the device's owner allows it",
        volumes="named volumes, memory, and the device's own paths where its owner allows them",
        volumes_from="services of the app; container:NAME where the device's owner allows it",
        use_api_socket=f"the device's own engine, without the developer's logins, {_OWNER}",
        deploy="",
    ),
    "x-skerry": Row(Fate.SUPPORTED, "telemetry, redis, display and lock: see above"),
    **_rows(Fate.IGNORED, _TOOL, "attach", "develop", "pull_refresh_after"),
    **_rows(Fate.IGNORED, _OTHER_SYSTEMS, "isolation", "cpu_count", "cpu_percent"),
    **_rows(Fate.REFUSED, _HOST, "external_links"),
    **_rows(Fate.REFUSED, "it is for Windows", "credential_spec"),
    **_rows(Fate.REFUSED, _NO_FIELD, "umask"),
    **_rows(Fate.REFUSED, "nothing on a device provides it", "models", "provider"),
}

_SWITCH = ("order", "parallelism", "delay", "failure_action", "monitor", "max_failure_ratio")
_DEVICE_REQUEST = ("driver", "count", "device_ids", "capabilities", "options")
_INSIDE: dict[str, Row] = {
    **_rows(Fate.IGNORED, _SWARM, "deploy.endpoint_mode", "deploy.labels", "deploy.placement"),
    **_rows(
        Fate.IGNORED, "a device runs what it is told, and sets nothing aside", "deploy.resources.reservations.cpus"
    ),
    "deploy.resources.reservations.devices": Row(Fate.SUPPORTED, _OWNER),
    **_rows(Fate.REFUSED, _SWARM, "deploy.resources.reservations.generic_resources"),
    **_rows(Fate.IGNORED, "the engine has delays of its own", "deploy.restart_policy.delay"),
    **_rows(Fate.IGNORED, "the engine has delays of its own", "deploy.restart_policy.window"),
    "deploy.mode": Row(Fate.SUPPORTED, "replicated or global"),
    "deploy.replicas": Row(Fate.SUPPORTED, "up to 64; without any the service is not run"),
    "deploy.update_config": Row(Fate.SUPPORTED, "travels to the device; start-first not with a published port"),
    "deploy.rollback_config": Row(Fate.SUPPORTED, "travels to the device"),
    **_supported(*(f"deploy.{key}.{inner}" for key in ("update_config", "rollback_config") for inner in _SWITCH)),
    **_how(
        **{
            "healthcheck.start_interval": "from Engine API 1.44; older engines go by interval",
            "networks.*.mac_address": "on other networks than the first from Engine API 1.44",
            "networks.*.gw_priority": "from Engine API 1.48",
            "networks.*.interface_name": "from Engine API 1.49",
            "volumes[].volume.subpath": "from Engine API 1.45",
            "volumes[].bind.recursive": "writable and readonly from Engine API 1.44",
        }
    ),
    **_supported(
        *(f"healthcheck.{key}" for key in ("test", "interval", "timeout", "start_period", "retries", "disable")),
        *(f"logging.{key}" for key in ("driver", "options")),
        *("networks.*", "networks.*.aliases", "networks.*.ipv4_address", "networks.*.ipv6_address"),
        *("networks.*.driver_opts", "networks.*.link_local_ips", "networks.*.priority"),
        *("ports[]", *(f"ports[].{key}" for key in ("target", "published", "host_ip", "protocol", "mode"))),
        *("volumes[]", *(f"volumes[].{key}" for key in ("type", "source", "target", "read_only"))),
        *("volumes[].bind", "volumes[].bind.propagation", "volumes[].bind.create_host_path"),
        *("volumes[].volume", "volumes[].volume.nocopy"),
        *("volumes[].tmpfs", "volumes[].tmpfs.size", "volumes[].tmpfs.mode"),
        *("deploy.resources", "deploy.resources.limits", "deploy.resources.reservations", "deploy.restart_policy"),
        *(f"deploy.resources.limits.{key}" for key in ("cpus", "memory", "pids")),
        *("deploy.restart_policy.condition", "deploy.restart_policy.max_attempts"),
        "deploy.resources.reservations.memory",
        *(
            f"{where}[]{key and '.'}{key}"
            for where in ("gpus", "deploy.resources.reservations.devices")
            for key in ("", *_DEVICE_REQUEST)
        ),
        *(
            f"{where}[]{key and '.'}{key}"
            for where in ("post_start", "pre_start", "pre_stop")
            for key in ("", "command", "user", "privileged", "working_dir", "environment")
        ),
        *("pre_start[].image", "pre_start[].per_replica"),
        *(
            f"{where}[]{key and '.'}{key}"
            for where in ("configs", "secrets")
            for key in ("", "source", "target", "uid", "gid", "mode")
        ),
    ),
    **_rows(Fate.IGNORED, "it is a note for people", "ports[].name", "ports[].app_protocol"),
    **_rows(Fate.IGNORED, "it has no effect on Linux", "volumes[].consistency"),
    **_rows(Fate.IGNORED, "devices have no labels of SELinux", "volumes[].bind.selinux"),
    **_rows(Fate.REFUSED, _NO_FIELD, "volumes[].image"),
    "networks.*.use_service_name_alias": Row(Fate.REFUSED, "false: a service is always found by its name"),
    **_rows(Fate.IGNORED, "labels stand with the volume itself", "volumes[].volume.labels"),
}

_NETWORK: dict[str, Row] = {
    **_supported("driver_opts", "internal", "labels", "ipam", "ipam.config", "ipam.config[]", "ipam.options"),
    **_supported("enable_ipv6", "ipam.config[].gateway", "ipam.config[].ip_range", "ipam.config[].aux_addresses"),
    "driver": Row(Fate.SUPPORTED, f"bridge; macvlan and ipvlan {_OWNER}"),
    "ipam.config[].subnet": Row(Fate.SUPPORTED, f"private addresses; others {_OWNER}"),
    "ipam.driver": Row(Fate.SUPPORTED, "default"),
    "enable_ipv4": Row(Fate.SUPPORTED, "only true"),
    "external": Row(Fate.SUPPORTED, f"a network of the device by its name, {_OWNER}"),
    "name": Row(Fate.IGNORED, _FIXED),
    "attachable": Row(Fate.IGNORED, _SWARM),
}

_VOLUME: dict[str, Row] = {
    **_supported("labels"),
    "driver": Row(Fate.SUPPORTED, "local"),
    "driver_opts": Row(Fate.SUPPORTED, f"memory; the device's own paths {_OWNER}"),
    "external": Row(Fate.SUPPORTED, f"a volume of the device by its name, {_OWNER}"),
    "name": Row(Fate.IGNORED, _FIXED),
}

_FILE: dict[str, Row] = {
    "file": Row(Fate.SUPPORTED, f"read when the app is loaded; {_CONTENT}"),
    "environment": Row(Fate.SUPPORTED, f"read when the app is loaded; {_CONTENT}"),
    "external": Row(Fate.REFUSED, "a device has no store of them; give a file, or environment"),
    "name": Row(Fate.IGNORED, "they belong to one app and have no name of their own on a device"),
    "labels": Row(Fate.IGNORED, "they belong to one app and nothing lists them"),
    "template_driver": Row(Fate.REFUSED, _SWARM),
}
_CONFIG: dict[str, Row] = _FILE | {"content": Row(Fate.SUPPORTED, _CONTENT)}
_SECRET: dict[str, Row] = {
    **_FILE,
    **_rows(Fate.REFUSED, _SWARM, "driver", "driver_opts"),
    "file": Row(Fate.SUPPORTED, f"read when the app is pushed; {_SEALED}"),
    "environment": Row(Fate.SUPPORTED, f"read when the app is pushed; {_SEALED}"),
    "external": Row(Fate.SUPPORTED, "`skerry secret set` gives the value"),
}

_BUILD: dict[str, Row] = {
    f"build.{key}": row
    for key, row in {
        **_supported("context", "dockerfile", "dockerfile_inline", "args", "labels", "target", "network"),
        **_supported("cache_from", "no_cache", "pull", "shm_size", "extra_hosts"),
        "platforms": Row(
            Fate.SUPPORTED,
            "one: or set the service's platform, or DOCKER_DEFAULT_PLATFORM; others than the builder's "
            "own need docker buildx or an emulator",
        ),
        **_rows(Fate.IGNORED, "the app's registry names images itself", "tags"),
        **_rows(Fate.IGNORED, _TOOL, "cache_to", "provenance", "sbom"),
        **_rows(Fate.IGNORED, "it means something on other systems only", "isolation"),
        **_rows(Fate.SUPPORTED, _BUILDX, "additional_contexts", "entitlements", "no_cache_filter", "privileged"),
        **_rows(Fate.SUPPORTED, _BUILDX, "secrets", "ssh", "ulimits"),
    }.items()
}

ROWS: Mapping[str, Mapping[str, Row]] = {
    "services": {**_SERVICE, **_INSIDE, **_BUILD},
    "networks": _NETWORK,
    "volumes": _VOLUME,
    "configs": _CONFIG,
    "secrets": _SECRET,
}
TOP_LEVEL: Mapping[str, Row] = {
    **_supported("name", "services", "networks", "volumes", "configs", "secrets"),
    "include": Row(Fate.SUPPORTED, "files on the developer's machine"),
    "version": Row(Fate.IGNORED, "it is obsolete"),
    "models": Row(Fate.SUPPORTED, "only what no service uses"),
    "jobs": Row(Fate.REFUSED, "a device runs services; make it one that ends, with restart: no"),
}


_ON_UNLESS_FALSE = frozenset({"networks.*.use_service_name_alias"})  # only false asks for something


def _divided(rows: Mapping[str, Row]) -> frozenset[str]:
    """Return the keys that have rows of their own below them."""
    return frozenset(row[: match.start()] for row in rows for match in re.finditer(r"\.|\[\]", row))


_DIVIDED: Mapping[str, frozenset[str]] = {section: _divided(rows) for section, rows in ROWS.items()}


def judged_top(rest: Mapping[str, Plain]) -> Iterator[Judged]:
    """Return the sections of a project that are ignored or refused."""
    for section in sorted(rest.keys() & TOP_LEVEL.keys()):
        if TOP_LEVEL[section].fate is not Fate.SUPPORTED and rest[section]:
            yield Judged(section, TOP_LEVEL[section])


def judged(section: str, name: str, part: Mapping[str, Plain]) -> Iterator[Judged]:
    """Return the keys of one service, network, volume, config or secret that are ignored or refused, in a stable order.

    Below a key that has rows of its own, what has no row is refused: a key that the table forgets does no harm.
    """
    yield from _judged(section, dict(part), "", f"{section}.{name}")


def _judged(section: str, value: Plain, pattern: str, path: str) -> Iterator[Judged]:
    rows = ROWS[section]
    if isinstance(value, list):
        for at, item in enumerate(value):
            yield from _judged(section, item, f"{pattern}[]", f"{path}[{at}]")
    if not isinstance(value, dict):
        return
    for key in sorted(value):
        inner = f"{pattern}.{key}" if pattern else key
        if inner not in rows and f"{pattern}.*" in rows:
            inner = f"{pattern}.*"
        row = rows.get(inner, Row(Fate.SUPPORTED) if key.startswith("x-") else Row(Fate.REFUSED, _NO_FIELD))
        if row.fate is not Fate.SUPPORTED:
            asks = value[key] is False if inner in _ON_UNLESS_FALSE else not _switched_off(value[key])
            if asks:
                yield Judged(f"{path}.{key}", row)
        elif inner in _DIVIDED[section]:
            yield from _judged(section, value[key], inner, f"{path}.{key}")


def _switched_off(value: Plain) -> bool:
    """Return whether a value asks for nothing. Zero is not such a value."""
    return value is False or value is None or value in ([], {}, "")


def as_markdown() -> str:
    """Return the table as the documentation shows it."""
    lines = ["| key | what Skerry does |", "|---|---|"]
    for prefix, rows in {"": TOP_LEVEL, **{f"{section}.*.": rows for section, rows in ROWS.items()}}.items():
        for key in sorted(rows):
            row = rows[key]
            if key.endswith(("[]", ".*")):
                continue
            why = f"{row.fate.value}: {row.why}" if row.why else row.fate.value
            lines.append(f"| `{prefix}{key}` | {why} |")
    return "\n".join(lines) + "\n"
