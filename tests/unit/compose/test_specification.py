"""The Compose Specification, key by key: what a service says, and what `app config` prints of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from compose.errors import ComposeError
from compose.reference_form import reference_form
from tests.unit.compose.conftest import Load

EVERYWHERE = "0.0.0.0"  # noqa: S104 - an address in a file, nothing is bound
RESOURCES = """
networks: {front: , back: }
volumes: {data: }
secrets: {key: {file: ./key}, pass: {environment: PASS}}
configs: {file: {content: hello}, other: {file: ./other}}
models: {llm: {model: m}}
"""


def printed(load_text: Load, lines: str, **more: Any) -> dict[str, Any]:
    """Return what is printed of a service with an image and these lines, without image and the default network."""
    indented = "".join(f"    {line}\n" for line in lines.splitlines())
    project = load_text(f"services:\n  web:\n    image: busybox\n{indented}  db: {{image: db}}\n{RESOURCES}", **more)
    services = reference_form(project.plain())["services"]
    assert isinstance(services, dict)
    web = services["web"]
    assert isinstance(web, dict)
    web = {key: value for key, value in web.items() if key != "image"}
    if web.get("networks") == {"default": None}:
        del web["networks"]
    return web


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("annotations: [a=1, b]", {"annotations": {"a": "1", "b": ""}}),
        ("attach: false", {"attach": False}),
        (
            "blkio_config: {weight: 300, weight_device: [{path: /dev/a, weight: 400}], "
            "device_read_bps: [{path: /dev/a, rate: 1mb}]}",
            {
                "blkio_config": {
                    "weight": 300,
                    "weight_device": [{"path": "/dev/a", "weight": 400}],
                    "device_read_bps": [{"path": "/dev/a", "rate": "1048576"}],
                }
            },
        ),
        ("cgroup: private\ncgroup_parent: m", {"cgroup": "private", "cgroup_parent": "m"}),
        ("command: echo 'a b' c", {"command": ["echo", "a b", "c"]}),
        ("command: []", {"command": []}),
        ("command: ''", {"command": []}),
        ("configs: [file]", {"configs": [{"source": "file"}]}),
        (
            "configs: [{source: file, target: /f, uid: '1', mode: 0440}]",
            {"configs": [{"source": "file", "target": "/f", "uid": "1", "mode": "0440"}]},
        ),
        ("cpu_period: 50ms\ncpu_quota: 100", {"cpu_period": 50000, "cpu_quota": 100}),
        ("cpus: '0.5'\ncpuset: 0,1\ncpu_shares: 2", {"cpus": 0.5, "cpuset": "0,1", "cpu_shares": 2}),
        ("credential_spec: {registry: a}", {"credential_spec": {"registry": "a"}}),
        ("depends_on: [db]", {"depends_on": {"db": {"condition": "service_started", "required": True}}}),
        (
            "depends_on: {db: {condition: service_healthy, restart: true, required: false}}",
            {"depends_on": {"db": {"condition": "service_healthy", "restart": True, "required": False}}},
        ),
        (
            "deploy: {mode: global, endpoint_mode: vip, replicas: 1, labels: {a: b}, "
            "placement: {constraints: [a], max_replicas_per_node: 1}}",
            {
                "deploy": {
                    "mode": "global",
                    "endpoint_mode": "vip",
                    "replicas": 1,
                    "labels": {"a": "b"},
                    "placement": {"constraints": ["a"], "max_replicas_per_node": 1},
                }
            },
        ),
        (
            "deploy: {resources: {limits: {cpus: '0.5', memory: 64m, pids: 3}, "
            "reservations: {generic_resources: [{discrete_resource_spec: {kind: a, value: 2}}]}}}",
            {
                "deploy": {
                    "resources": {
                        "limits": {"cpus": 0.5, "memory": "67108864", "pids": 3},
                        "reservations": {"generic_resources": [{"discrete_resource_spec": {"kind": "a", "value": 2}}]},
                    }
                }
            },
        ),
        (
            "deploy: {restart_policy: {condition: on-failure, delay: 5s, max_attempts: 3, "
            "window: 2m}, update_config: {order: stop-first, delay: 90s}}",
            {
                "deploy": {
                    "restart_policy": {"condition": "on-failure", "delay": "5s", "max_attempts": 3, "window": "2m0s"},
                    "update_config": {"order": "stop-first", "delay": "1m30s"},
                }
            },
        ),
        ("scale: 1\ndeploy: {mode: replicated}", {"scale": 1, "deploy": {"mode": "replicated", "replicas": 1}}),
        ("device_cgroup_rules: ['c 1:3 mr']", {"device_cgroup_rules": ["c 1:3 mr"]}),
        (
            "devices: ['vendor.com/gpu=all']",
            {"devices": [{"source": "vendor.com/gpu=all", "target": "vendor.com/gpu=all", "permissions": "rwm"}]},
        ),
        (
            "dns: 1.1.1.1\ndns_search: [a.b]\ndns_opt: [use-vc]",
            {"dns": ["1.1.1.1"], "dns_search": ["a.b"], "dns_opt": ["use-vc"]},
        ),
        ("entrypoint: /e -x", {"entrypoint": ["/e", "-x"]}),
        ("environment: [A=1, B=, C]", {"environment": {"A": "1", "B": "", "C": None}}),
        (
            "environment: {A: 1.5, B: true, C: , D: 'x=y'}",
            {"environment": {"A": "1.5", "B": "true", "C": None, "D": "x=y"}},
        ),
        (
            "environment: {A: 18446744073709551615, B: 18446744073709551616, C: 1e400, D: 0x1ffffffffffffffff}",
            {
                "environment": {
                    "A": "18446744073709551615",
                    "B": "1.8446744073709552e+19",
                    "C": "1e400",
                    "D": "0x1ffffffffffffffff",
                }
            },
        ),
        ("expose: [80, '81/udp', 90-91]", {"expose": ["80", "81/udp", "90-91"]}),
        ("external_links: [a, b:c]", {"external_links": ["a", "b:c"]}),
        ("extra_hosts: ['a=1.1.1.1', 'b:[::1]']", {"extra_hosts": ["a=1.1.1.1", "b=::1"]}),
        ("extra_hosts: {a: [1.1.1.1, 2.2.2.2]}", {"extra_hosts": ["a=1.1.1.1", "a=2.2.2.2"]}),
        ("gpus: all", {"gpus": [{"count": -1}]}),
        (
            "gpus: [{driver: nvidia}, {device_ids: ['0']}]",
            {"gpus": [{"driver": "nvidia", "count": -1}, {"device_ids": ["0"]}]},
        ),
        (
            "deploy: {resources: {reservations: {devices: [{capabilities: [gpu]}]}}}",
            {"deploy": {"resources": {"reservations": {"devices": [{"capabilities": ["gpu"], "count": -1}]}}}},
        ),
        (
            "gpus: [{driver: nvidia, count: 2, options: [a=b]}]",
            {"gpus": [{"driver": "nvidia", "count": 2, "options": {"a": "b"}}]},
        ),
        ("group_add: [mail, 5]", {"group_add": ["mail", "5"]}),
        ("healthcheck: {disable: true}", {"healthcheck": {"disable": True}}),
        ("healthcheck: {test: [NONE]}", {"healthcheck": {"test": ["NONE"]}}),
        (
            "healthcheck: {test: curl x, interval: 1m30s, timeout: 500ms, retries: 3, "
            "start_period: 1h, start_interval: 5s}",
            {
                "healthcheck": {
                    "test": ["CMD-SHELL", "curl x"],
                    "interval": "1m30s",
                    "timeout": "500ms",
                    "retries": 3,
                    "start_period": "1h0m0s",
                    "start_interval": "5s",
                }
            },
        ),
        ("init: false\nipc: host\nisolation: default", {"init": False, "ipc": "host", "isolation": "default"}),
        ("labels: [a=b, c]", {"labels": {"a": "b", "c": ""}}),
        (
            "logging: {driver: json-file, options: {max-file: 3}}",
            {"logging": {"driver": "json-file", "options": {"max-file": "3"}}},
        ),
        ("mac_address: 02:42:ac:11:00:02", {"mac_address": "02:42:ac:11:00:02"}),
        (
            "mem_limit: 1.5g\nmemswap_limit: -1\nmem_swappiness: 10",
            {"mem_limit": "1610612736", "memswap_limit": "-1", "mem_swappiness": "10"},
        ),
        ("models: [llm]", {"models": {"llm": None}}),
        (
            "models: {llm: {endpoint_var: A, model_var: B}}",
            {"models": {"llm": {"endpoint_var": "A", "model_var": "B"}}},
        ),
        ("network_mode: none", {"network_mode": "none"}),
        ("networks: [front, back]", {"networks": {"front": None, "back": None}}),
        (
            "networks: {front: {aliases: [a], ipv4_address: 10.0.0.2, ipv6_address: '::2', "
            "link_local_ips: [169.254.0.1], mac_address: a, driver_opts: {x: 1}, priority: 10, "
            "gw_priority: 5, interface_name: eth7}}",
            {
                "networks": {
                    "front": {
                        "aliases": ["a"],
                        "ipv4_address": "10.0.0.2",
                        "ipv6_address": "::2",
                        "link_local_ips": ["169.254.0.1"],
                        "mac_address": "a",
                        "driver_opts": {"x": "1"},
                        "priority": 10,
                        "gw_priority": 5,
                        "interface_name": "eth7",
                    }
                }
            },
        ),
        ("oom_kill_disable: true\noom_score_adj: -500", {"oom_kill_disable": True, "oom_score_adj": -500}),
        (
            "pid: host\npids_limit: -1\nplatform: linux/arm64",
            {"pid": "host", "pids_limit": -1, "platform": "linux/arm64"},
        ),
        (
            "post_start: [{command: a b, user: root, environment: [A=1]}]",
            {"post_start": [{"command": ["a", "b"], "user": "root", "environment": {"A": "1"}}]},
        ),
        (
            "pre_start: [{command: a, environment: [A=1], volumes: ['/x:/y'], mem_limit: 1k, stop_grace_period: 90s,"
            " labels: {a: ''}, per_replica: true}, {image: own}]",
            {
                "pre_start": [
                    {
                        "image": "busybox",
                        "command": ["a"],
                        "environment": {"A": "1"},
                        "volumes": [{"type": "bind", "source": "/x", "target": "/y", "bind": {}}],
                        "mem_limit": "1024",
                        "stop_grace_period": "1m30s",
                        "labels": {"a": ""},
                        "per_replica": True,
                    },
                    {"image": "own"},
                ]
            },
        ),
        ("umask: '0022'", {"umask": 18}),
        ("pre_stop: [{command: [a], privileged: true}]", {"pre_stop": [{"command": ["a"], "privileged": True}]}),
        ("profiles: []", {}),
        ("pull_policy: if_not_present", {"pull_policy": "missing"}),
        ("pull_policy: every_1d12h", {"pull_policy": "every_1d12h"}),
        ("restart: on-failure:3\nruntime: runc", {"restart": "on-failure:3", "runtime": "runc"}),
        ("secrets: [key]", {"secrets": [{"source": "key", "target": "/run/secrets/key"}]}),
        ("security_opt: ['label:disable']", {"security_opt": ["label:disable"]}),
        ("shm_size: 64mb\nstorage_opt: {size: 1G}", {"shm_size": "67108864", "storage_opt": {"size": "1G"}}),
        ("stop_grace_period: 1m30s\nstop_signal: SIGUSR1", {"stop_grace_period": "1m30s", "stop_signal": "SIGUSR1"}),
        ("sysctls: [net.core.somaxconn=1]", {"sysctls": {"net.core.somaxconn": "1"}}),
        ("sysctls: {net.core.somaxconn: 1024}", {"sysctls": {"net.core.somaxconn": "1024"}}),
        ("tmpfs: /run", {"tmpfs": ["/run"]}),
        ("ulimits: {core: {soft: 0, hard: 0}}", {"ulimits": {"core": {"soft": 0, "hard": 0}}}),
        (
            "ulimits: {nproc: 5, nofile: {soft: 1, hard: 2}}",
            {"ulimits": {"nproc": 5, "nofile": {"soft": 1, "hard": 2}}},
        ),
        (
            "userns_mode: host\nuts: host\nuse_api_socket: true",
            {"userns_mode": "host", "uts": "host", "use_api_socket": True},
        ),
        (
            "volumes_from: ['db:ro']",
            {"volumes_from": ["db:ro"], "depends_on": {"db": {"condition": "service_started", "required": True}}},
        ),
        (
            "links: ['db:base']",
            {
                "links": ["db:base"],
                "depends_on": {"db": {"condition": "service_started", "required": True, "restart": True}},
            },
        ),
        ("x-note: {a: [1]}", {"x-note": {"a": [1]}}),
    ],
)
def test_a_key_is_printed_in_its_long_form(load_text: Load, lines: str, expected: dict[str, Any]) -> None:
    assert printed(load_text, lines) == expected


def port(target: int, published: str = "", **more: str) -> dict[str, Any]:
    return {
        "mode": "ingress",
        "target": target,
        "protocol": "tcp",
        **({"published": published} if published else {}),
        **more,
    }


@pytest.mark.parametrize(
    ("ports", "expected"),
    [
        ("[80]", [port(80)]),
        ("['8080:80/udp']", [port(80, "8080", protocol="udp")]),
        ("['9-11:9-11']", [port(10, "10"), port(11, "11"), port(9, "9")]),
        ("['127.0.0.1:8001-8002:8001-8002']", [port(n, str(n), host_ip="127.0.0.1") for n in (8001, 8002)]),
        ("['127.0.0.1::80']", [port(80, host_ip="127.0.0.1")]),
        ("['[::1]:6001:6001']", [port(6001, "6001", host_ip="::1")]),
        ("['::1:6001:6001']", [port(6001, "6001", host_ip="::1")]),
        ("['fe80::1::80']", [port(80, host_ip="fe80::1")]),
        ("['8000-9000:80']", [port(80, "8000-9000")]),
        (
            "[{target: 80, published: '8080', host_ip: 127.0.0.1, protocol: udp, mode: host}]",
            [port(80, "8080", host_ip="127.0.0.1", protocol="udp", mode="host")],
        ),
        (
            "[{name: web, target: 80, published: 8080, app_protocol: http}]",
            [port(80, "8080", name="web", app_protocol="http")],
        ),
        ("['80:80', {target: 80, published: 80, host_ip: 0.0.0.0}]", [port(80, "80", host_ip=EVERYWHERE)]),
    ],
)
def test_ports_are_printed_one_by_one(load_text: Load, ports: str, expected: list[dict[str, Any]]) -> None:
    assert printed(load_text, f"ports: {ports}")["ports"] == expected


@pytest.mark.parametrize(
    ("mount", "expected"),
    [
        ("/data", {"type": "volume", "target": "/data", "volume": {}}),
        ("data:/data:ro", {"type": "volume", "source": "data", "target": "/data", "read_only": True, "volume": {}}),
        (
            "{type: volume, source: data, target: /d/, volume: {nocopy: true, subpath: s}}",
            {"type": "volume", "source": "data", "target": "/d", "volume": {"nocopy": True, "subpath": "s"}},
        ),
        (
            "{type: bind, source: /a, target: /b, bind: {propagation: rslave, "
            "create_host_path: false, recursive: disabled}}",
            {
                "type": "bind",
                "source": "/a",
                "target": "/b",
                "bind": {"propagation": "rslave", "create_host_path": False, "recursive": "disabled"},
            },
        ),
        ("{type: bind, source: /a, target: /b}", {"type": "bind", "source": "/a", "target": "/b"}),
        ("'/a:/b:z,ro'", {"type": "bind", "source": "/a", "target": "/b", "read_only": True, "bind": {"selinux": "z"}}),
        ("~/a:/b", {"type": "bind", "source": "/home/h/a", "target": "/b", "bind": {}}),
        (
            "{type: tmpfs, target: /t, tmpfs: {size: 1m, mode: 0755}}",
            {"type": "tmpfs", "target": "/t", "tmpfs": {"size": "1048576", "mode": 493}},
        ),
        (
            "{type: image, source: i, target: /i, image: {subpath: s}}",
            {"type": "image", "source": "i", "target": "/i", "image": {"subpath": "s"}},
        ),
    ],
)
def test_mounts_are_printed_in_their_long_form(load_text: Load, mount: str, expected: dict[str, Any]) -> None:
    assert printed(load_text, f"volumes: [{mount}]", environment={"HOME": "/home/h"})["volumes"] == [expected]


def test_a_build_is_printed_with_every_key(load_text: Load, folder: Path) -> None:
    lines = """\
build:
  context: ./a
  dockerfile_inline: FROM scratch
  entitlements: [network.host]
  args: [A=1, B]
  ssh: [default, key=/k, 'other: /k=2']
  labels: {a: 1}
  cache_from: [x]
  cache_to: [y]
  no_cache: true
  additional_contexts: [r=./r, i=docker-image://i]
  network: host
  provenance: true
  sbom: false
  pull: true
  target: t
  shm_size: 1m
  extra_hosts: [h=1]
  isolation: default
  privileged: true
  secrets: [key]
  tags: [t1]
  ulimits: {nofile: 1}
  platforms: [linux/arm64]
"""
    assert printed(load_text, lines)["build"] == {
        "context": f"{folder}/a",
        "dockerfile_inline": "FROM scratch",
        "entitlements": ["network.host"],
        "args": {"A": "1", "B": None},
        "ssh": ["default", "key: /k", "other: /k=2"],
        "labels": {"a": "1"},
        "cache_from": ["x"],
        "cache_to": ["y"],
        "no_cache": True,
        "additional_contexts": {"r": f"{folder}/r", "i": "docker-image://i"},
        "network": "host",
        "provenance": "true",
        "sbom": "false",
        "pull": True,
        "target": "t",
        "shm_size": "1048576",
        "extra_hosts": ["h=1"],
        "isolation": "default",
        "privileged": True,
        "secrets": [{"source": "key"}],
        "tags": ["t1"],
        "ulimits": {"nofile": 1},
        "platforms": ["linux/arm64"],
    }


def test_what_is_developed_is_printed(load_text: Load, folder: Path) -> None:
    lines = (
        "develop: {watch: [{path: ./s, action: sync+exec, target: /s, ignore: n, "
        "exec: {command: a}, initial_sync: true}]}"
    )
    watch = {"path": f"{folder}/s", "action": "sync+exec", "target": "/s", "ignore": ["n"], "initial_sync": True}
    assert printed(load_text, lines)["develop"] == {"watch": [watch | {"exec": {"command": ["a"]}}]}


def test_resources_are_printed_with_their_names(load_text: Load, folder: Path) -> None:
    form = reference_form(
        load_text(
            "services: {web: {image: a, networks: [n], volumes: ['v:/v']}}\n"
            "networks: {n: {driver: bridge, driver_opts: {a: 1}, enable_ipv4: false, "
            "enable_ipv6: true, internal: true, attachable: true, labels: [a=b],"
            " ipam: {driver: default, options: {o: p}, config: [{subnet: 10.0.0.0/8, "
            "gateway: 10.0.0.1, ip_range: 10.1.0.0/16, aux_addresses: {h: 10.0.0.5}}]}},"
            " e: {external: true, name: other}, f: {external: {name: old}}}\n"
            "volumes: {v: , w: {external: true}, x: {driver: local, driver_opts: {type: none, o: bind, device: ./d}}}\n"
        ).plain()
    )
    assert form["networks"] == {
        "n": {
            "name": "app_n",
            "driver": "bridge",
            "driver_opts": {"a": "1"},
            "enable_ipv4": False,
            "enable_ipv6": True,
            "internal": True,
            "attachable": True,
            "labels": {"a": "b"},
            "ipam": {
                "driver": "default",
                "options": {"o": "p"},
                "config": [
                    {
                        "subnet": "10.0.0.0/8",
                        "gateway": "10.0.0.1",
                        "ip_range": "10.1.0.0/16",
                        "aux_addresses": {"h": "10.0.0.5"},
                    }
                ],
            },
        },
        "e": {"name": "other", "external": True},
        "f": {"name": "old", "external": True},
    }
    assert form["volumes"] == {
        "v": {"name": "app_v"},
        "w": {"name": "w", "external": True},
        "x": {
            "name": "app_x",
            "driver": "local",
            "driver_opts": {"type": "none", "o": "bind", "device": f"{folder}/d"},
        },
    }


def test_blocks_of_addresses_merge_by_subnet(load_text: Load) -> None:
    project = load_text(
        "services: {web: {image: a, networks: [n]}}\nnetworks: {n: {ipam: {config: [{subnet: a, gateway: b}]}}}\n",
        "networks: {n: {ipam: {config: [{subnet: a, ip_range: c}, {subnet: d}]}}}\n",
    )
    networks = reference_form(project.plain())["networks"]
    assert isinstance(networks, dict)
    assert networks["n"] == {
        "name": "app_n",
        "ipam": {"config": [{"subnet": "a", "gateway": "b", "ip_range": "c"}, {"subnet": "d"}]},
    }


@pytest.mark.parametrize("over", ["hostname: !reset null", "hostname: !reset", "hostname: !reset x"])
def test_a_reset_value_is_gone_whatever_follows_the_tag(load_text: Load, over: str) -> None:
    project = load_text("services: {web: {image: a, hostname: h}}", f"services:\n  web:\n    {over}\n")
    assert "hostname" not in project.services["web"].plain()


def test_a_job_is_printed_as_a_service_is(load_text: Load, folder: Path) -> None:
    text = (
        "services: {web: {image: a}}\n"
        "jobs: {nightly: {image: b, command: x y, volumes: ['./d:/d'], environment: [A], healthcheck: {interval: 90s},"
        " triggers: {manual: false, schedule: ['0 * * * *', {cron: '@daily', timezone: UTC, missed_fires: skip}]}}}"
    )
    assert reference_form(load_text(text).plain())["jobs"] == {
        "nightly": {
            "image": "b",
            "command": ["x", "y"],
            "volumes": [{"type": "bind", "source": f"{folder}/d", "target": "/d", "bind": {}}],
            "environment": {"A": None},
            "healthcheck": {"interval": "1m30s"},
            "triggers": {
                "manual": False,
                "schedule": [{"cron": "0 * * * *"}, {"cron": "@daily", "timezone": "UTC", "missed_fires": "skip"}],
            },
        }
    }


def test_whole_services_and_sections_can_be_reset_or_replaced(load_text: Load) -> None:
    project = load_text(
        "services: {web: {image: a}, db: {image: b, user: u}, c: {image: c}}\nvolumes: {v: , w: }\n",
        "services:\n  web: !reset null\n  db: !override {image: d}\nvolumes: !reset {}\n",
    )
    form = reference_form(project.plain())
    assert form["services"] == {
        "db": {"image": "d", "networks": {"default": None}},
        "c": {"image": "c", "networks": {"default": None}},
    }
    assert "volumes" not in form


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("version: 3\nservices: {web: {image: a}}", "put it in quotes"),
        ("services: {web: {image: a, privileged: '1'}}", "true or false"),
        ("services: {web: {image: a, ports: ['80-81:80-82']}}", "differ in length"),
        ("services: {web: {image: a, ports: ['0:80:90:100']}}", "is not an IP address"),
        ("services: {'w b': {image: a}}", "is not a valid name"),
        ("services: {web: {image: a, env_file: [{path: x, format: other}]}}", "must be one of raw"),
        ("services: {web: {image: a, depends_on: {db: {condition: ready}}}}", "must be one of"),
        ("services: {web: {image: a, container_name: x}}", "at least two letters"),
        ("services: {web: {image: a, mem_limit: 1.5}}", "whole number of bytes"),
        ("services: {web: {image: a, deploy: {resources: {limits: {memory: 1024}}}}}", "put it in quotes"),
        ("services: {web: {image: a, cpu_percent: 1.5}}", "whole number"),
        ("services: {web: {image: a, build: {context: ., ssh: default}}}", "a mapping or a list"),
        ("services: {web: {image: a, build: {context: ., provenance: {a: b}}}}", "a text, true or false"),
        ("services: {web: {image: a}}\nnetworks: {n: {driver_opts: {a: }}}", "a text or a number"),
        ("services: {web: {image: a}}\nnetworks: {n: {ipam: {options: {a: 1}}}}", "put it in quotes"),
    ],
)
def test_what_the_specification_does_not_have_is_refused(load_text: Load, lines: str, message: str) -> None:
    with pytest.raises(ComposeError, match=message):
        load_text(lines)


@pytest.mark.parametrize("key", ["hostname", "environment", "ports", "deploy", "depends_on", "build"])
def test_a_later_file_that_leaves_a_key_empty_changes_nothing(load_text: Load, key: str) -> None:
    base = (
        "services: {db: {image: b}, web: {image: a, hostname: h, environment: {A: 1}, ports: ['80'], build: .,"
        " deploy: {mode: global}, depends_on: [db]}}"
    )
    alone = reference_form(load_text(base).plain())
    assert reference_form(load_text(base, f"services: {{web: {{{key}: }}, db: }}").plain()) == alone


def test_a_later_file_that_leaves_the_command_empty_takes_it_away(load_text: Load) -> None:
    project = load_text("services: {web: {image: a, command: x}}", "services: {web: {command: }}")
    assert reference_form(project.plain())["services"] == {"web": {"image": "a", "networks": {"default": None}}}
