"""The keys of every container in the Compose Specification, be it a service's, a job's or a hook's. Pure."""

from __future__ import annotations

import re
from dataclasses import replace

from compose.errors import Path
from compose.forms.mounts import device, file_reference, mount
from compose.forms.services import environment_file, host_addresses, ulimit
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
    text,
    text_or_number,
    whole,
)
from compose.shapes import Shape, list_of, names_or_table, nullable, one_of, record, single_or_list, table, wrong
from compose.tree import Items, Node, Scalar, Table, text_of

_PULL_POLICY = re.compile(r"always|never|build|if_not_present|missing|refresh|daily|weekly|every_([0-9]+[wdhms])+")
_UMASK_MAX = 2**32 - 1
_texts = list_of(text)
_labels = pairs()
_environment = pairs(bare=None)
_text_or_texts = single_or_list(text)


def _servers(node: Node, path: Path) -> Node:
    """Texts; an empty one, as a variable without a value leaves it, counts for nothing."""
    result = _text_or_texts(node, path)
    assert isinstance(result, Items)
    return result.of(tuple(item for item in result.nodes if text_of(item)))


def _pull_policy(node: Node, path: Path) -> Node:
    """When an image is fetched: a word, or a span of time as in `every_12h`."""
    result = text(node, path)
    if not _PULL_POLICY.fullmatch(text_of(result)):
        raise wrong(
            node, path, "must be one of always, never, missing, if_not_present, build, daily, weekly, every_..."
        )
    return result


def _umask(node: Node, path: Path) -> Node:
    """The bits that files of the container's process do not get: octal where it is a text."""
    if isinstance(node, Scalar) and isinstance(node.value, str) and re.fullmatch(r"(0o?)?[0-7]+", node.value):
        node = replace(node, value=int(node.value.removeprefix("0o"), 8))
    result = natural(node, path)
    if isinstance(result, Scalar) and isinstance(result.value, int) and result.value > _UMASK_MAX:
        raise wrong(node, path, f"must be at most {_UMASK_MAX}")
    return result


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


device_request = record(
    {"capabilities": _texts, "count": _device_count, "device_ids": _texts, "driver": text, "options": pairs()}
)


def _gpus(node: Node, path: Path) -> Node:
    if isinstance(node, Scalar) and node.value == "all":
        return Items((Table({"count": Scalar(-1, "-1", node.place)}, node.place),), node.place)
    return list_of(device_request)(node, path)


_attachment = record(
    {
        "aliases": _texts,
        "interface_name": text,
        "ipv4_address": text,
        "ipv6_address": text,
        "link_local_ips": _texts,
        "mac_address": text,
        "driver_opts": options(),
        "priority": number,
        "gw_priority": number,
        "use_service_name_alias": flag,
    }
)

CONTAINER_KEYS: dict[str, Shape] = {
    "annotations": _labels,
    "blkio_config": _BLKIO,
    "cap_add": _texts,
    "cap_drop": _texts,
    "cgroup": one_of("host", "private"),
    "cgroup_parent": text,
    "command": command,
    "configs": list_of(file_reference()),
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
    "device_cgroup_rules": _texts,
    "devices": list_of(device),
    "dns": _servers,
    "dns_opt": _texts,
    "dns_search": _servers,
    "domainname": text,
    "entrypoint": command,
    "env_file": single_or_list(environment_file),
    "environment": _environment,
    "extra_hosts": host_addresses,
    "gpus": _gpus,
    "group_add": list_of(text_or_number),
    "hostname": text,
    "image": text,
    "init": flag,
    "ipc": text,
    "isolation": text,
    "label_file": _text_or_texts,
    "labels": _labels,
    "logging": record({"driver": text, "options": options(empty=True)}),
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
    "privileged": flag,
    "pull_policy": _pull_policy,
    "pull_refresh_after": text,
    "read_only": flag,
    "runtime": text,
    "secrets": list_of(file_reference()),
    "security_opt": _texts,
    "shm_size": size,
    "stop_grace_period": duration,
    "stop_signal": text,
    "storage_opt": options(),
    "sysctls": pairs(),
    "tmpfs": _text_or_texts,
    "ulimits": table(ulimit),
    "umask": nullable(_umask),
    "use_api_socket": flag,
    "user": text,
    "userns_mode": text,
    "uts": text,
    "volumes": list_of(mount),
    "volumes_from": _texts,
    "working_dir": text,
}
