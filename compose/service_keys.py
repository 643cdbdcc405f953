"""The keys of a service in the Compose Specification, and what each may hold. Pure."""

from __future__ import annotations

import re
from dataclasses import replace

from compose.errors import Path
from compose.forms.mounts import device, file_reference, mount
from compose.forms.ports import exposed, ports
from compose.forms.services import environment_file, host_addresses, test, ulimit
from compose.forms.values import (
    command,
    duration,
    flag,
    microseconds,
    natural,
    number,
    options,
    pairs,
    size,
    size_or_unlimited,
    size_text,
    text,
    text_or_flag,
    text_or_number,
    whole,
)
from compose.shapes import (
    Shape,
    anything,
    list_of,
    names_or_table,
    nullable,
    one_of,
    record,
    short_or_record,
    single_or_list,
    table,
    wrong,
)
from compose.tree import Items, Node, Scalar, Table, text_of

_PULL_POLICY = re.compile(r"always|never|build|if_not_present|missing|refresh|daily|weekly|every_([0-9]+[wdhms])+")
_texts = list_of(text)
_labels = pairs()
_environment = pairs(bare=None)
_text_or_texts = single_or_list(text)
_started: dict[str, Scalar] = {
    "condition": Scalar("service_started", "service_started"),
    "required": Scalar(True, "true"),
}


def wrapped(key: str, inner: Shape = text) -> Shape:
    """Return the shape of a value that stands for a mapping with only `key`."""

    def shape(node: Node, path: Path) -> Node:
        return Table({key: inner(node, path)}, node.place)

    return shape


def _servers(node: Node, path: Path) -> Node:
    """Texts; an empty one, as a variable without a value leaves it, counts for nothing."""
    result = _text_or_texts(node, path)
    assert isinstance(result, Items)
    return replace(result, nodes=tuple(item for item in result.nodes if text_of(item)))


def _pull_policy(node: Node, path: Path) -> Node:
    """When an image is fetched: a word, or a span of time as in `every_12h`."""
    result = text(node, path)
    if not _PULL_POLICY.fullmatch(text_of(result)):
        raise wrong(
            node, path, "must be one of always, never, missing, if_not_present, build, daily, weekly, every_..."
        )
    return result


def _container_name(node: Node, path: Path) -> Node:
    """The name of a container, as engines take it."""
    if not re.search(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+", text_of(text(node, path))):
        raise wrong(node, path, "must have at least two letters or digits; '_', '.' and '-' may follow the first")
    return node


def _ssh(node: Node, path: Path) -> Node:
    """Keys for a build: `default` or `id=path` in a list, or a mapping; `id: path` as it is printed."""
    if isinstance(node, Items):
        node = replace(node, nodes=tuple(_ssh_pair(item) for item in node.nodes))
    return pairs()(node, path)


def _ssh_pair(node: Node) -> Node:
    if not isinstance(node, Scalar) or not isinstance(node.value, str):
        return node
    name, colon, file = node.value.partition(": ")
    return replace(node, value=f"{name}={file}") if colon and "=" not in name else node


BUILD_KEYS: dict[str, Shape] = {
    "context": text,
    "dockerfile": text,
    "dockerfile_inline": text,
    "entitlements": _texts,
    "args": _environment,
    "ssh": _ssh,
    "labels": _labels,
    "cache_from": _texts,
    "cache_to": _texts,
    "no_cache": flag,
    "no_cache_filter": _text_or_texts,
    "additional_contexts": pairs(),
    "network": text,
    "provenance": text_or_flag,
    "sbom": text_or_flag,
    "pull": flag,
    "target": text,
    "shm_size": size,
    "extra_hosts": host_addresses,
    "isolation": text,
    "privileged": flag,
    "secrets": list_of(file_reference()),
    "tags": _texts,
    "ulimits": table(ulimit),
    "platforms": _texts,
}
BUILD = record(BUILD_KEYS)

_limit = record({"path": text, "rate": size})
_weight = record({"path": text, "weight": whole})
_BLKIO = record(
    {
        **dict.fromkeys(
            ("device_read_bps", "device_read_iops", "device_write_bps", "device_write_iops"), list_of(_limit)
        ),
        "weight": whole,
        "weight_device": list_of(_weight),
    }
)


def _device_count(node: Node, path: Path) -> Node:
    if isinstance(node, Scalar) and node.value == "all":
        return replace(node, value=-1)
    if isinstance(node, Scalar) and isinstance(node.value, str) and not node.value.isdigit():
        raise wrong(node, path, f"must be 'all' or a number, not {node.value[:20]!r}")
    return whole(node, path)


_device_request = record(
    {"capabilities": _texts, "count": _device_count, "device_ids": _texts, "driver": text, "options": pairs()}
)


def _gpus(node: Node, path: Path) -> Node:
    if isinstance(node, Scalar) and node.value == "all":
        return Items((Table({"count": Scalar(-1, "-1", node.place)}, node.place),), node.place)
    return list_of(_device_request)(node, path)


_HOOK: dict[str, Shape] = {
    "command": command,
    "user": text,
    "privileged": flag,
    "working_dir": text,
    "environment": _environment,
}
_hook = record(_HOOK)

_update = record(
    {
        "parallelism": whole,
        "delay": duration,
        "failure_action": text,
        "monitor": duration,
        "max_failure_ratio": number,
        "order": one_of("start-first", "stop-first"),
    }
)

DEPLOY_KEYS: dict[str, Shape] = {
    "mode": text,
    "endpoint_mode": text,
    "replicas": natural,
    "labels": _labels,
    "rollback_config": _update,
    "update_config": _update,
    "resources": record(
        {
            "limits": record({"cpus": number, "memory": size_text, "pids": whole}),
            "reservations": record(
                {
                    "cpus": number,
                    "memory": size_text,
                    "generic_resources": list_of(
                        record({"discrete_resource_spec": record({"kind": text, "value": number})})
                    ),
                    "devices": list_of(_device_request),
                }
            ),
        }
    ),
    "restart_policy": record({"condition": text, "delay": duration, "max_attempts": natural, "window": duration}),
    "placement": record(
        {
            "constraints": _texts,
            "preferences": list_of(record({"spread": text})),
            "max_replicas_per_node": natural,
        }
    ),
}
DEPLOY = record(DEPLOY_KEYS)

_DEVELOP = record(
    {
        "watch": list_of(
            record(
                {
                    "ignore": _text_or_texts,
                    "include": _text_or_texts,
                    "path": text,
                    "action": one_of("rebuild", "sync", "restart", "sync+restart", "sync+exec"),
                    "target": text,
                    "exec": _hook,
                    "initial_sync": flag,
                }
            )
        )
    }
)

_attachment = record(
    {
        "aliases": _texts,
        "interface_name": text,
        "ipv4_address": text,
        "ipv6_address": text,
        "link_local_ips": _texts,
        "mac_address": text,
        "driver_opts": options,
        "priority": number,
        "gw_priority": number,
    }
)

SERVICE_KEYS: dict[str, Shape] = {
    "annotations": _labels,
    "attach": flag,
    "blkio_config": _BLKIO,
    "build": short_or_record(wrapped("context"), BUILD),
    "cap_add": _texts,
    "cap_drop": _texts,
    "cgroup": one_of("host", "private"),
    "cgroup_parent": text,
    "command": command,
    "configs": list_of(file_reference()),
    "container_name": _container_name,
    "cpu_count": natural,
    "cpu_percent": natural,
    "cpu_period": microseconds,
    "cpu_quota": whole,
    "cpu_rt_period": microseconds,
    "cpu_rt_runtime": microseconds,
    "cpu_shares": number,
    "cpus": number,
    "cpuset": text,
    "credential_spec": record({"config": text, "file": text, "registry": text}),
    "depends_on": names_or_table(
        _started,
        record(
            {
                "condition": one_of("service_started", "service_healthy", "service_completed_successfully"),
                "required": flag,
                "restart": flag,
            }
        ),
    ),
    "deploy": nullable(DEPLOY),
    "develop": nullable(_DEVELOP),
    "device_cgroup_rules": _texts,
    "devices": list_of(device),
    "dns": _servers,
    "dns_opt": _texts,
    "dns_search": _servers,
    "domainname": text,
    "entrypoint": command,
    "env_file": single_or_list(environment_file),
    "environment": _environment,
    "expose": list_of(exposed),
    "extends": short_or_record(wrapped("service"), record({"service": text, "file": text})),
    "external_links": _texts,
    "extra_hosts": host_addresses,
    "gpus": _gpus,
    "group_add": list_of(text_or_number),
    "healthcheck": record(
        {
            "disable": flag,
            "interval": duration,
            "retries": natural,
            "test": test,
            "timeout": duration,
            "start_period": duration,
            "start_interval": duration,
        }
    ),
    "hostname": text,
    "image": text,
    "init": flag,
    "ipc": text,
    "isolation": text,
    "label_file": _text_or_texts,
    "labels": _labels,
    "links": _texts,
    "logging": record({"driver": text, "options": options}),
    "mac_address": text,
    "mem_limit": size,
    "mem_reservation": size,
    "mem_swappiness": whole,
    "memswap_limit": size_or_unlimited,
    "models": names_or_table({}, nullable(record({"endpoint_var": text, "model_var": text}))),
    "network_mode": text,
    "networks": names_or_table({}, nullable(_attachment)),
    "oom_kill_disable": flag,
    "oom_score_adj": whole,
    "pid": nullable(text),
    "pids_limit": whole,
    "platform": text,
    "ports": ports,
    "post_start": list_of(_hook),
    "pre_start": list_of(record({**_HOOK, "image": text, "per_replica": flag})),
    "pre_stop": list_of(_hook),
    "privileged": flag,
    "profiles": _texts,
    "provider": record({"type": text, "options": table(anything)}),
    "pull_policy": _pull_policy,
    "pull_refresh_after": text,
    "read_only": flag,
    "restart": text,
    "runtime": text,
    "scale": natural,
    "secrets": list_of(file_reference()),
    "security_opt": _texts,
    "shm_size": size,
    "stdin_open": flag,
    "stop_grace_period": duration,
    "stop_signal": text,
    "storage_opt": options,
    "sysctls": pairs(),
    "tmpfs": _text_or_texts,
    "tty": flag,
    "ulimits": table(ulimit),
    "use_api_socket": flag,
    "user": text,
    "userns_mode": text,
    "uts": text,
    "volumes": list_of(mount),
    "volumes_from": _texts,
    "working_dir": text,
    "x-skerry": record({"telemetry": one_of("none", "socket", "tcp")}),
}
