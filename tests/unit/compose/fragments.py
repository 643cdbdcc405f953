"""Two or more values for every key of a service, for laws that hold of all of them.

A value may name what `RESOURCES` defines.
"""

from __future__ import annotations

from typing import Any

RESOURCES: dict[str, Any] = {
    "networks": {"front": None, "back": None},
    "volumes": {"data": None, "more": None},
    "secrets": {"key": {"file": "./key"}, "pass": {"environment": "PASS"}},
    "configs": {"file": {"content": "hello"}, "other": {"file": "./other"}},
    "models": {"llm": {"model": "m"}, "other": {"model": "n"}},
}
_NAMES = (["a"], ["b", "c"], ["a", "c"])
_PAIRS = ({"a": "1"}, ["a=2", "b=3"], {"c": None})
_FLAGS = (True, False, "true")
_SIZES = ("1k", 2048, "1.5m")
_SPANS = ("1s", "1m30s", "0")
_LIMITS = [{"path": "/dev/a", "rate": 1}], [{"path": "/dev/b", "rate": "2k"}]
_HOOKS = ([{"command": "a b"}], [{"command": ["c"], "user": "d"}])

FRAGMENTS: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(("cap_add", "cap_drop", "dns_opt", "group_add", "profiles", "security_opt"), _NAMES),
    **dict.fromkeys(("device_cgroup_rules", "external_links"), _NAMES),
    **dict.fromkeys(("dns", "dns_search", "tmpfs"), ("a", ["b", "c"], ["a"])),
    **dict.fromkeys(("annotations", "labels", "sysctls", "environment"), _PAIRS),
    **dict.fromkeys(("attach", "init", "oom_kill_disable", "privileged", "read_only"), _FLAGS),
    **dict.fromkeys(("stdin_open", "tty", "use_api_socket"), _FLAGS),
    **dict.fromkeys(("mem_limit", "mem_reservation", "memswap_limit", "shm_size"), _SIZES),
    **dict.fromkeys(("cgroup_parent", "domainname", "hostname", "image", "isolation", "mac_address"), ("a", "b")),
    **dict.fromkeys(
        ("pull_refresh_after", "restart", "runtime", "stop_signal", "user", "userns_mode", "uts"), ("a", "b")
    ),
    **dict.fromkeys(("working_dir", "platform", "cpuset", "ipc", "pid"), ("a", "b")),
    **dict.fromkeys(("cpu_count", "cpu_percent", "scale", "umask"), (0, 1, "2")),
    **dict.fromkeys(("cpu_quota", "mem_swappiness", "oom_score_adj", "pids_limit"), (-1, 1, "2")),
    **dict.fromkeys(("cpu_period", "cpu_rt_period", "cpu_rt_runtime"), (1, "50ms")),
    **dict.fromkeys(("cpu_shares", "cpus"), (1, 0.5, "1.5")),
    **dict.fromkeys(("command", "entrypoint"), ("a b", ["c"], [])),
    **dict.fromkeys(("post_start", "pre_stop"), _HOOKS),
    "pre_start": ([{"command": "a"}], [{"command": "b", "image": "c", "per_replica": True}]),
    "blkio_config": (
        {"weight": 1, "device_read_bps": _LIMITS[0]},
        {"device_read_bps": _LIMITS[1], "weight_device": []},
    ),
    "build": (
        ".",
        {"context": "./x", "args": ["A=1"], "labels": {"l": "1"}, "tags": ["t"], "ssh": ["default"]},
        {"args": {"A": 2, "B": None}, "tags": ["t", "u"], "target": "y", "additional_contexts": {"c": "./d"}},
    ),
    "cgroup": ("host", "private"),
    "configs": (["file"], [{"source": "other", "target": "/t"}], [{"source": "file", "target": "/t"}]),
    "container_name": ("aa", "bb"),
    "credential_spec": ({"config": "a"}, {"file": "b"}),
    "depends_on": (["db"], {"db": {"condition": "service_healthy"}}, {"web2": {"condition": "service_started"}}),
    "deploy": (
        {"mode": "global", "labels": ["a=1"], "resources": {"limits": {"cpus": "1", "memory": "1m"}}},
        {"replicas": 2, "labels": {"a": 2}, "resources": {"limits": {"pids": 1}, "reservations": {"memory": "1k"}}},
        {"update_config": {"order": "stop-first", "delay": "1s"}, "restart_policy": {"condition": "any"}},
    ),
    "develop": ({"watch": [{"path": "a", "action": "rebuild"}]}, {"watch": [{"path": "b", "action": "restart"}]}),
    "devices": (["/dev/a"], ["/dev/b:/dev/a:r"], [{"source": "/dev/c", "target": "/dev/d"}]),
    "env_file": ("a.env", [{"path": "b.env", "required": False}], ["a.env", "b.env"]),
    "expose": (["80"], [81, "80/udp"]),
    "extra_hosts": (["a=1.1.1.1"], {"a": "2.2.2.2", "b": ["1.1.1.1", "2.2.2.2"]}),
    "gpus": ("all", [{"driver": "x"}], [{"count": 1}]),
    "healthcheck": ({"test": "a", "interval": "1s"}, {"test": ["NONE"]}, {"disable": True, "retries": 3}),
    "label_file": ("a", ["b", "a"]),
    "links": (["db"], ["db:x", "web2"]),
    "logging": ({"driver": "a", "options": {"x": 1}}, {"driver": "b"}, {"options": {"y": "2"}}),
    "models": (["llm"], {"llm": {"endpoint_var": "E"}, "other": None}),
    "network_mode": ("none", "host"),
    "networks": (["front"], {"front": {"aliases": ["a"]}, "back": None}, {"front": {"aliases": ["b"], "priority": 1}}),
    "oom_score_adj": (-1, "2"),
    "ports": (["80:80"], ["81:80", "80:80/udp"], [{"target": 80, "published": "80", "mode": "host"}], ["90-92:90-92"]),
    "provider": ({"type": "a", "options": {"x": 1}}, {"type": "b", "options": {"y": "1"}}),
    "pull_policy": ("always", "every_12h"),
    "secrets": (["key"], [{"source": "pass", "target": "/t"}], [{"source": "key", "target": "/t", "mode": 0o440}]),
    "stop_grace_period": _SPANS,
    "storage_opt": ({"a": 1}, {"a": "2", "b": "3"}),
    "ulimits": ({"nproc": 1}, {"nproc": {"soft": 1, "hard": 2}}, {"nofile": {"soft": 3, "hard": 4}}),
    "volumes": (["data:/x"], ["./a:/x:ro", "/anonymous"], [{"type": "tmpfs", "target": "/x", "tmpfs": {"size": "1k"}}]),
    "volumes_from": (["db"], ["container:x:ro"]),
}
ADDING_UP = frozenset(
    {"blkio_config", "develop", "gpus", "post_start", "pre_start", "pre_stop"}
)  # also with themselves
