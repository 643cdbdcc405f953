"""The keys of services and jobs in the Compose Specification, and what each may hold. Pure."""

from __future__ import annotations

import re
from dataclasses import replace

from compose.container_keys import CONTAINER_KEYS, device_request
from compose.errors import Path
from compose.forms.mounts import file_reference
from compose.forms.ports import exposed, ports
from compose.forms.services import host_addresses, test, ulimit
from compose.forms.values import (
    command,
    duration,
    flag,
    natural,
    number,
    pairs,
    size,
    size_text,
    text,
    text_or_flag,
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


def _container_name(node: Node, path: Path) -> Node:
    """The name of a container, as engines take it."""
    if not re.search(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+", text_of(text(node, path))):
        raise wrong(node, path, "must have at least two letters or digits; '_', '.' and '-' may follow the first")
    return node


def _ssh(node: Node, path: Path) -> Node:
    """Keys for a build: `default` or `id=path` in a list, or a mapping; `id: path` as it is printed."""
    if isinstance(node, Items):
        node = node.of(tuple(_ssh_pair(item) for item in node.nodes))
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
                    "devices": list_of(device_request),
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

_WORKLOAD_KEYS: dict[str, Shape] = {
    "build": short_or_record(wrapped("context"), BUILD),
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
    "ports": ports,
    "expose": list_of(exposed),
    "stdin_open": flag,
    "tty": flag,
}

SERVICE_KEYS: dict[str, Shape] = {
    **CONTAINER_KEYS,
    **_WORKLOAD_KEYS,
    "attach": flag,
    "container_name": _container_name,
    "deploy": nullable(DEPLOY),
    "develop": nullable(_DEVELOP),
    "extends": short_or_record(wrapped("service"), record({"service": text, "file": text})),
    "external_links": _texts,
    "links": _texts,
    "post_start": list_of(_hook),
    "pre_start": list_of(record({**CONTAINER_KEYS, "per_replica": flag})),
    "pre_stop": list_of(_hook),
    "profiles": _texts,
    "provider": record({"type": text, "options": table(anything)}),
    "restart": text,
    "scale": natural,
}

_schedule = short_or_record(
    wrapped("cron"),
    record(
        {
            "cron": text,
            "timezone": text,
            "concurrency": one_of("forbid", "queue"),
            "missed_fires": one_of("one", "skip"),
        }
    ),
)

JOB_KEYS: dict[str, Shape] = {
    **CONTAINER_KEYS,
    **_WORKLOAD_KEYS,
    "extends": SERVICE_KEYS["extends"],
    "profiles": _texts,
    "triggers": record({"manual": flag, "schedule": list_of(_schedule)}),
}
