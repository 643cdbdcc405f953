"""The JSON schema of a Compose file, for editors: the keys of the Compose Specification and `x-skerry`. Pure.

The keys are those of the specification's own schema of 2026, as the tests have them in `specification_keys.txt`. It
only helps while a file is written: what is accepted, `compose/specification.py` says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compose.container_keys import CONTAINER_KEYS
from compose.service_keys import JOB_KEYS
from compose.skerry_keys import DISPLAY, TELEMETRY

Schema = dict[str, Any]

DRAFT = "http://json-schema.org/draft-07/schema#"
NAMES = "^[a-zA-Z0-9._-]+$"

TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": ["boolean", "string"]}
NUMBER: Schema = {"type": ["number", "string"]}
WHOLE: Schema = {"type": ["integer", "string"]}
SIZE: Schema = {"type": ["integer", "string"], "description": "Bytes, or a text such as 64m."}
SPAN: Schema = {"type": "string", "description": "A span of time such as 1m30s."}
TEXTS: Schema = {"type": "array", "items": TEXT}
TEXT_OR_TEXTS: Schema = {"oneOf": [TEXT, TEXTS]}
VALUE: Schema = {"type": ["string", "number", "boolean", "null"]}
PAIRS: Schema = {"oneOf": [{"type": "object", "additionalProperties": VALUE}, TEXTS]}
OPTIONS: Schema = {"type": "object", "additionalProperties": {"type": ["string", "number", "null"]}}
COMMAND: Schema = {"oneOf": [{"type": "null"}, TEXT, TEXTS]}
HOSTS: Schema = {"oneOf": [{"type": "object", "additionalProperties": TEXT_OR_TEXTS}, TEXTS]}
EXTERNAL: Schema = {"oneOf": [FLAG, {"type": "object", "properties": {"name": TEXT}}]}


def one_of(*words: str) -> Schema:
    return {"type": "string", "enum": list(words)}


def record(properties: Mapping[str, Schema], *, required: tuple[str, ...] = ()) -> Schema:
    """Return the schema of a mapping with these keys and any that begin with `x-`."""
    schema: Schema = {
        "type": "object",
        "properties": dict(properties),
        "patternProperties": {"^x-": {}},
        "additionalProperties": False,
    }
    return {**schema, "required": list(required)} if required else schema


def named(inner: Schema) -> Schema:
    return {"type": "object", "patternProperties": {NAMES: inner}, "additionalProperties": False}


def listed(inner: Schema) -> Schema:
    return {"type": "array", "items": inner}


def either(*schemas: Schema) -> Schema:
    return {"oneOf": list(schemas)}


def or_empty(inner: Schema) -> Schema:
    return either({"type": "null"}, inner)


def keys(text: str, schema: Schema) -> dict[str, Schema]:
    return dict.fromkeys(text.split(), schema)


_ULIMITS = named(either(WHOLE, record(keys("soft hard", WHOLE), required=("soft", "hard"))))
_FILES = listed(either(TEXT, record({**keys("source target uid gid", TEXT), "mode": NUMBER})))
_HOOK = {**keys("user working_dir", TEXT), "command": COMMAND, "privileged": FLAG, "environment": PAIRS}
_DEVICE_REQUESTS = listed(
    record({"driver": TEXT, "count": WHOLE, "options": PAIRS, **keys("capabilities device_ids", TEXTS)})
)
_BUILD = record(
    {
        **keys("context dockerfile dockerfile_inline isolation network target", TEXT),
        **keys("cache_from cache_to entitlements platforms tags", TEXTS),
        **keys("additional_contexts args labels ssh", PAIRS),
        **keys("no_cache privileged provenance pull sbom", FLAG),
        "no_cache_filter": TEXT_OR_TEXTS,
        "extra_hosts": HOSTS,
        "secrets": _FILES,
        "shm_size": SIZE,
        "ulimits": _ULIMITS,
    }
)
_LIMITS = listed(record({"path": TEXT, "rate": SIZE}))
_UPDATE = record(
    {
        **keys("delay monitor", SPAN),
        "failure_action": TEXT,
        "max_failure_ratio": NUMBER,
        "order": one_of("start-first", "stop-first"),
        "parallelism": WHOLE,
    }
)
_DEPLOY = record(
    {
        **keys("endpoint_mode mode", TEXT),
        "labels": PAIRS,
        "placement": record(
            {
                "constraints": TEXTS,
                "max_replicas_per_node": WHOLE,
                "preferences": listed(record({"spread": TEXT})),
            }
        ),
        "replicas": WHOLE,
        "resources": record(
            {
                "limits": record({"cpus": NUMBER, "memory": SIZE, "pids": WHOLE}),
                "reservations": record(
                    {
                        "cpus": NUMBER,
                        "devices": _DEVICE_REQUESTS,
                        "generic_resources": listed(
                            record({"discrete_resource_spec": record({"kind": TEXT, "value": NUMBER})})
                        ),
                        "memory": SIZE,
                    }
                ),
            }
        ),
        "restart_policy": record({"condition": TEXT, "max_attempts": WHOLE, **keys("delay window", SPAN)}),
        **keys("rollback_config update_config", _UPDATE),
    }
)
_DEVELOP = record(
    {
        "watch": listed(
            record(
                {
                    "action": one_of("rebuild", "sync", "restart", "sync+restart", "sync+exec"),
                    "exec": record(_HOOK),
                    **keys("ignore include", TEXT_OR_TEXTS),
                    "initial_sync": FLAG,
                    **keys("path target", TEXT),
                },
                required=("path", "action"),
            )
        )
    }
)
_ATTACHMENT = record(
    {
        **keys("interface_name ipv4_address ipv6_address mac_address", TEXT),
        **keys("aliases link_local_ips", TEXTS),
        **keys("gw_priority priority", {"type": "number"}),
        "use_service_name_alias": FLAG,
        "driver_opts": OPTIONS,
    }
)
_MOUNT = record(
    {
        "type": one_of("bind", "volume", "tmpfs", "cluster", "npipe", "image"),
        **keys("consistency source target", TEXT),
        "read_only": FLAG,
        "bind": record(
            {
                "create_host_path": FLAG,
                "propagation": TEXT,
                "recursive": one_of("enabled", "disabled", "writable", "readonly"),
                "selinux": one_of("z", "Z"),
            }
        ),
        "image": record({"subpath": TEXT}),
        "tmpfs": record({"mode": NUMBER, "size": SIZE}),
        "volume": record({"labels": PAIRS, "nocopy": FLAG, "subpath": TEXT}),
    },
    required=("type",),
)
_PORT = record({**keys("app_protocol host_ip mode name protocol", TEXT), **keys("published target", WHOLE)})
_CONDITIONS = ("service_started", "service_healthy", "service_completed_successfully")

SKERRY = record(
    {
        "telemetry": either(one_of(*TELEMETRY), {"type": "boolean"}),
        "redis": {"type": "boolean"},
        "display": either(one_of(*DISPLAY), {"type": "boolean"}),
        "lock": {"type": "boolean"},
    }
)

_SERVICE: dict[str, Schema] = {
    **keys("cgroup_parent container_name cpuset domainname hostname image ipc isolation mac_address", TEXT),
    **keys("network_mode platform pull_policy pull_refresh_after restart runtime stop_signal user", TEXT),
    **keys("userns_mode uts working_dir", TEXT),
    **keys("attach init oom_kill_disable privileged read_only stdin_open tty use_api_socket", FLAG),
    **keys("cap_add cap_drop device_cgroup_rules dns_opt external_links links profiles security_opt", TEXTS),
    "volumes_from": TEXTS,
    **keys("dns dns_search label_file tmpfs", TEXT_OR_TEXTS),
    **keys("annotations environment labels sysctls", PAIRS),
    **keys("command entrypoint", COMMAND),
    **keys("cpu_count cpu_percent cpu_period cpu_quota cpu_rt_period cpu_rt_runtime cpu_shares cpus", NUMBER),
    **keys("mem_swappiness oom_score_adj pids_limit scale", WHOLE),
    "umask": {"type": ["integer", "string", "null"]},
    **keys("mem_limit mem_reservation memswap_limit shm_size", SIZE),
    **keys("configs secrets", _FILES),
    **keys("post_start pre_stop", listed(record(_HOOK))),
    "blkio_config": record(
        {
            **keys("device_read_bps device_read_iops device_write_bps device_write_iops", _LIMITS),
            "weight": WHOLE,
            "weight_device": listed(record({"path": TEXT, "weight": WHOLE})),
        }
    ),
    "build": either(TEXT, _BUILD),
    "cgroup": one_of("host", "private"),
    "credential_spec": record(keys("config file registry", TEXT)),
    "depends_on": either(
        TEXTS,
        named(record({"condition": one_of(*_CONDITIONS), **keys("required restart", FLAG)}, required=("condition",))),
    ),
    "deploy": or_empty(_DEPLOY),
    "develop": or_empty(_DEVELOP),
    "devices": listed(either(TEXT, record(keys("permissions source target", TEXT), required=("source",)))),
    "env_file": either(
        TEXT,
        listed(either(TEXT, record({**keys("format path", TEXT), "required": FLAG}, required=("path",)))),
    ),
    "expose": listed({"type": ["string", "number"]}),
    "extends": either(TEXT, record(keys("file service", TEXT), required=("service",))),
    "extra_hosts": HOSTS,
    "gpus": either(one_of("all"), _DEVICE_REQUESTS),
    "group_add": listed({"type": ["string", "number"]}),
    "healthcheck": record(
        {
            "disable": FLAG,
            **keys("interval start_interval start_period timeout", SPAN),
            "retries": NUMBER,
            "test": TEXT_OR_TEXTS,
        }
    ),
    "logging": record({"driver": TEXT, "options": OPTIONS}),
    "models": either(TEXTS, named(or_empty(record(keys("endpoint_var model_var", TEXT))))),
    "networks": either(TEXTS, named(or_empty(_ATTACHMENT))),
    "pid": {"type": ["string", "null"]},
    "ports": listed(either({"type": "number"}, TEXT, _PORT)),
    "provider": record({"type": TEXT, "options": {"type": "object"}}, required=("type",)),
    "stop_grace_period": SPAN,
    "storage_opt": {"type": "object"},
    "ulimits": _ULIMITS,
    "volumes": listed(either(TEXT, _MOUNT)),
    "x-skerry": SKERRY,
}
_CONTAINER = {key: _SERVICE[key] for key in CONTAINER_KEYS}
SERVICE = record({**_SERVICE, "pre_start": listed(record({**_CONTAINER, "per_replica": FLAG}))})
_SCHEDULE = record(
    {**keys("cron timezone", TEXT), "concurrency": one_of("forbid", "queue"), "missed_fires": one_of("one", "skip")},
    required=("cron",),
)
_TRIGGERS = record({"manual": FLAG, "schedule": listed(either(TEXT, _SCHEDULE))})
JOB = record(
    {**{key: _SERVICE[key] for key in JOB_KEYS if key in _SERVICE}, "triggers": _TRIGGERS}, required=("triggers",)
)
_BLOCK = record({**keys("gateway ip_range subnet", TEXT), "aux_addresses": {"type": "object"}})
NETWORK = record(
    {
        **keys("driver name", TEXT),
        **keys("attachable enable_ipv4 enable_ipv6 internal", FLAG),
        "driver_opts": OPTIONS,
        "external": EXTERNAL,
        "ipam": record({"config": listed(_BLOCK), "driver": TEXT, "options": OPTIONS}),
        "labels": PAIRS,
    }
)
VOLUME = record({**keys("driver name", TEXT), "driver_opts": OPTIONS, "external": EXTERNAL, "labels": PAIRS})
SECRET = record(
    {
        **keys("driver environment file name template_driver", TEXT),
        "driver_opts": OPTIONS,
        "external": EXTERNAL,
        "labels": PAIRS,
    }
)
CONFIG = record(
    {**keys("content environment file name template_driver", TEXT), "external": EXTERNAL, "labels": PAIRS},
)
_INCLUDE = either(TEXT, record({**keys("env_file path", TEXT_OR_TEXTS), "project_directory": TEXT}))


def schema() -> Schema:
    """Return the schema of a whole file."""
    sections = {
        "version": TEXT,
        "name": TEXT,
        "include": listed(_INCLUDE),
        "services": named(SERVICE),
        "jobs": named(JOB),
        "networks": named(or_empty(NETWORK)),
        "volumes": named(or_empty(VOLUME)),
        "secrets": named(SECRET),
        "configs": named(CONFIG),
        "models": named(record({**keys("model name", TEXT), "context_size": WHOLE, "runtime_flags": TEXTS})),
    }
    return {"$schema": DRAFT, "title": "A Compose file for Skerry", **record(sections)}
