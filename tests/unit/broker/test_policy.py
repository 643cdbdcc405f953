"""The owner's policy: what is denied, by which sentence, and which grant allows it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from broker.appspec import AppSpec
from broker.policy import Policy
from broker.policy_rows import Rows
from tests.harness.apps import service


def spec(**keys: Any) -> AppSpec:
    top = {key: keys.pop(key) for key in ("networks", "volumes") if key in keys}
    return AppSpec.model_validate({"name": "hello", "services": {"web": service(**keys)}} | top)


def bind(source: str) -> dict[str, Any]:
    return {"mounts": [{"type": "bind", "target": "/m", "source": source}]}


BRIDGE = {"networks": {"lan": {"options": {"com.docker.network.bridge.name": "br-lan"}}}}
OVERLAY = {"volumes": {"v": {"options": {"type": "overlay", "device": "/srv/a", "o": "lowerdir=/etc"}}}}
HOOK = {"command": ["a"], "privileged": True}
NAMESPACES = {"pid": "pid", "ipc": "ipc", "uts": "uts", "userns_mode": "userns", "cgroup": "cgroup"}
DENIED: list[tuple[dict[str, Any], str, dict[str, Any]]] = [
    ({"privileged": True}, "service web: privileged is not allowed (policy.allow_privileged)",
     {"allow_privileged": True}),
    ({"network_mode": "host"}, "service web: the host's network is not allowed (policy.allow_host_network)",
     {"allow_host_network": True}),
    ({"devices": ["/dev/ttyS0:/dev/gps"]}, "service web: device /dev/ttyS0:/dev/gps is not allowed "
     "(policy.allow_devices)", {"allow_devices": ["/dev/ttyS0"]}),
    ({"cap_add": ["NET_ADMIN"]}, "service web: capability NET_ADMIN is not allowed (policy.allow_capabilities)",
     {"allow_capabilities": ["NET_ADMIN"]}),
    ({"cap_add": ["cap_net_admin"]}, "service web: capability cap_net_admin is not allowed "
     "(policy.allow_capabilities)", {"allow_capabilities": ["NET_ADMIN"]}),
    ({"cap_add": ["NET_ADMIN"]}, "service web: capability NET_ADMIN is not allowed (policy.allow_capabilities)",
     {"allow_capabilities": ["CAP_NET_ADMIN"]}),
    (bind("/srv/a/b"), "service web: host path /srv/a/b is not allowed (policy.allow_bind_prefixes)",
     {"allow_bind_prefixes": ["/srv/a"]}),
    (bind("/srv/a"), "service web: host path /srv/a is not allowed (policy.allow_bind_prefixes)",
     {"allow_bind_prefixes": ["/srv/a/"]}),
    (bind("/var/run/docker.sock"), "service web: host path /var/run/docker.sock is not allowed "
     "(policy.allow_engine_socket)", {"allow_engine_socket": True}),
    ({"security_opt": ["seccomp=unconfined"]}, "service web: security_opt seccomp=unconfined is not allowed "
     "(policy.allow_security_opt)", {"allow_security_opt": ["seccomp=*"]}),
    ({"sysctls": {"net.core.somaxconn": "1"}}, "service web: sysctl net.core.somaxconn is not allowed "
     "(policy.allow_sysctls)", {"allow_sysctls": ["net.*"]}),
    ({"ports": [{"target": 22, "published": 22}]}, "service web: port 22 of the device is not allowed "
     "(policy.allow_ports)", {"allow_ports": ["20-30"]}),
    ({"ports": [{"target": 22, "published": 1023}], "replicas": 3}, "service web: port 1023-1025 of the device is not "
     "allowed (policy.allow_ports)", {"allow_ports": ["1000-2000"]}),
    ({"logging": {"driver": "syslog"}}, "service web: logging driver syslog would send logs past the worker "
     "(policy.allow_logging_drivers)", {"allow_logging_drivers": ["syslog"]}),
    ({"post_start": [HOOK]}, "service web: a privileged post_start hook is not allowed "
     "(policy.allow_privileged_hooks)", {"allow_privileged_hooks": True}),
    ({"pre_stop": [{"command": ["a"]}, HOOK]}, "service web: a privileged pre_stop hook is not allowed "
     "(policy.allow_privileged_hooks)", {"allow_privileged_hooks": True}),
    ({"display": "require"}, "service web: a display is not allowed (policy.allow_display)", {"allow_display": True}),
    *(({key: "container:other"}, f"service web: {key} container:other reaches outside of the app "
       "(policy.allow_containers)", {"allow_containers": ["other"]}) for key in ("network_mode", "pid", "ipc")),
    ({"volumes_from": ["container:other:ro"]}, "service web: volumes_from container:other:ro reaches outside of the "
     "app (policy.allow_containers)", {"allow_containers": ["other"]}),
    ({"networks": {"n": {"external": "lan"}}}, "network n: external network lan reaches outside of the app "
     "(policy.allow_external_networks)", {"allow_external_networks": ["lan"]}),
    ({"volumes": {"v": {"external": "nas"}}}, "volume v: external volume nas reaches outside of the app "
     "(policy.allow_external_volumes)", {"allow_external_volumes": ["nas"]}),
    ({"networks": {"n": {"driver": "macvlan"}}}, "network n: driver macvlan puts the app on the host's own network "
     "(policy.allow_network_drivers)", {"allow_network_drivers": ["macvlan"]}),
    (BRIDGE, "network lan: the host's bridge 'br-lan' is not allowed (policy.allow_host_network)",
     {"allow_host_network": True}),
    *(({key: "host"}, f"service web: the host's {namespace} namespace is not allowed (policy.allow_host_namespaces)",
       {"allow_host_namespaces": [namespace]})
      for key, namespace in NAMESPACES.items()),
    ({"cgroup_parent": "/x"}, "service web: cgroup_parent /x is not allowed (policy.allow_cgroup_parents)",
     {"allow_cgroup_parents": ["/x"]}),
    ({"runtime": "kata"}, "service web: runtime kata is not allowed (policy.allow_runtimes)",
     {"allow_runtimes": ["kata"]}),
    ({"annotations": {"b": "1"}}, "service web: annotation b is not allowed (policy.allow_annotations)",
     {"allow_annotations": ["a", "b"]}),
    ({"device_cgroup_rules": ["c 1:3 mr"]}, "service web: device_cgroup_rule 'c 1:3 mr' is not allowed "
     "(policy.allow_device_cgroup_rules)", {"allow_device_cgroup_rules": ["c 1:3 mr"]}),
    ({"device_requests": [{"count": -1, "capabilities": ["gpu"]}]}, "service web: devices that a driver hands out "
     "are not allowed (policy.allow_device_requests)", {"allow_device_requests": True}),
    ({"networks": {"n": {"subnet": "1.0.0.0/8"}}}, "network n: subnet 1.0.0.0/8 is not private (policy.allow_subnets)",
     {"allow_subnets": ["1.0.0.0/7"]}),
    ({"networks": {"n": {"pools": [{"subnet": "10.0.0.0/8"}, {"subnet": "2000::/64"}]}}},
     "network n: subnet 2000::/64 is not private (policy.allow_subnets)", {"allow_subnets": ["2000::/16"]}),
]  # fmt: skip


def test_every_row_is_tried_here() -> None:
    assert {row for _, _, grant in DENIED for row in grant} == set(Rows.model_fields)


@pytest.mark.parametrize(("asked", "sentence", "grant"), DENIED)
def test_what_can_leave_the_app_is_denied_by_default_and_allowed_by_its_grant_alone(
    asked: dict[str, Any], sentence: str, grant: dict[str, Any]
) -> None:
    assert Policy().objections(spec(**asked)) == [sentence]
    assert Policy.model_validate(grant).objections(spec(**asked)) == []
    others = {name: value for _, _, each in DENIED for name, value in each.items() if name not in grant}
    assert Policy.model_validate(others).objections(spec(**asked)) == [sentence]


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"ports": [{"target": 80, "published": 80}]},
        {"mounts": [{"type": "tmpfs", "target": "/run"}, {"type": "volume", "target": "/v"}]},
        {"network_mode": "none"},
        {"ipc": "private", "cgroup": "private", "runtime": "runc"},
        {"networks": {"n": {"subnet": "172.31.0.0/16"}, "m": {"pools": [{"subnet": "fd00::/64"}]}}},
        {"configs": [], "cpu_shares": 5, "storage_opt": {"size": "1G"}, "dns_opt": ["ndots:2"]},
        {"security_opt": ["no-new-privileges", "no-new-privileges:true"]},
        {"cap_drop": ["ALL"], "user": "0", "read_only": True},
        {"logging": {"driver": "local"}},
        {"networks": {"n": {"options": {"com.docker.network.driver.mtu": "1400"}}}},
    ],
)
def test_what_stays_inside_the_app_needs_no_grant(asked: dict[str, Any]) -> None:
    assert Policy().objections(spec(**asked)) == []


@pytest.mark.parametrize(
    "source",
    ["/srv", "/srv/ab", "/srv/a/../b", "/etc", "/srv/a/app.sock", "//srv/a"],
)
def test_a_path_outside_the_granted_ones_or_a_socket_inside_is_denied(source: str) -> None:
    policy = Policy(allow_bind_prefixes=("/srv/a",))
    assert policy.objections(spec(**bind(source))) == [
        f"service web: host path {source} is not allowed (policy.allow_bind_prefixes)"
    ]


def test_a_device_is_granted_by_its_own_path_only() -> None:
    policy = Policy(allow_devices=("/dev/ttyS0",))
    for device in ("/dev/ttyS1", "/dev/ttyS0x", "/dev/../dev/ttyS0", "/dev/sda:/dev/ttyS0"):
        assert len(policy.objections(spec(devices=[device]))) == 1


def test_a_volume_of_a_type_that_names_paths_in_its_options_is_denied_in_a_granted_place_too() -> None:
    # An overlay ignores the device that was looked at and mounts its lowerdir.
    assert Policy(allow_bind_prefixes=("/srv/a",)).objections(spec(**OVERLAY)) == [
        "volume v: host path '/srv/a' is not allowed (policy.allow_bind_prefixes)"
    ]


def test_everything_that_is_denied_is_named_at_once_and_in_order() -> None:
    asked = AppSpec.model_validate(
        {
            "name": "hello",
            "services": {
                "web": service(privileged=True, cap_add=["SYS_ADMIN", "NET_RAW"]),
                "db": service(network_mode="host"),
            },
        }
    )
    assert Policy(allow_capabilities=("NET_RAW",)).objections(asked) == [
        "service db: the host's network is not allowed (policy.allow_host_network)",
        "service web: privileged is not allowed (policy.allow_privileged)",
        "service web: capability SYS_ADMIN is not allowed (policy.allow_capabilities)",
    ]


def test_a_grant_for_one_namespace_of_the_host_is_none_for_another() -> None:
    assert Policy(allow_host_namespaces=("uts",)).objections(spec(pid="host", uts="host")) == [
        "service web: the host's pid namespace is not allowed (policy.allow_host_namespaces)"
    ]


@pytest.mark.parametrize("subnet", ["0.0.0.0/0", "10.0.0.0/7", "172.16.0.0/11", "169.254.0.0/16", "::/0", "nonsense"])
def test_a_subnet_that_is_wider_than_the_private_ones_or_none_at_all_is_denied(subnet: str) -> None:
    assert Policy().objections(spec(networks={"n": {"subnet": subnet}})) == [
        f"network n: subnet {subnet} is not private (policy.allow_subnets)"
    ]


def test_new_privileges_asked_for_are_denied() -> None:
    assert Policy().objections(spec(security_opt=["no-new-privileges:false"])) == [
        "service web: security_opt no-new-privileges:false is not allowed (policy.allow_security_opt)"
    ]


@pytest.mark.parametrize(
    "asked",
    [
        {"pid": "container:"},
        {"network_mode": "container:../x"},
        {"labels": {"io.skerry.device": "x"}},
        {"container_name": "x"},
        {"networks": {"n": {"external": "host"}}},
        {"networks": {"n": {"external": "x", "internal": True}}},
        {"networks": {"n": {"driver": "overlay"}}},
        {"networks": {"n": {"name": "x"}}},
        {"volumes": {"v": {"external": "x", "labels": {"a": "b"}}}},
        {"volumes": {"v": {"name": "x"}}},
        {"update": {"order": "start-first"}, "ports": [{"target": 80, "published": 80}]},
    ],
)
def test_what_no_owner_can_allow_is_no_appspec_at_all(asked: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        spec(**asked)
