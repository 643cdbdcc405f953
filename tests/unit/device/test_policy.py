"""The owner's policy: what is denied, by which sentence, and which grant allows it."""

from __future__ import annotations

from typing import Any

import pytest

from broker.appspec import AppSpec
from device.policy import Policy
from tests.harness.apps import service


def spec(**keys: Any) -> AppSpec:
    top = {key: keys.pop(key) for key in ("networks", "volumes") if key in keys}
    return AppSpec.model_validate({"name": "hello", "services": {"web": service(**keys)}} | top)


def bind(source: str) -> dict[str, Any]:
    return {"mounts": [{"type": "bind", "target": "/m", "source": source}]}


BRIDGE = {"networks": {"lan": {"options": {"com.docker.network.bridge.name": "br-lan"}}}}
OVERLAY = {"volumes": {"v": {"options": {"type": "overlay", "device": "/srv/a", "o": "lowerdir=/etc"}}}}
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
    ({"security_opt": ["seccomp=unconfined"]}, "service web: security_opt seccomp=unconfined is not allowed "
     "(policy.allow_security_opt)", {"allow_security_opt": True}),
    ({"sysctls": {"net.core.somaxconn": "1"}}, "service web: sysctls are not allowed (policy.allow_sysctls)",
     {"allow_sysctls": True}),
    (BRIDGE, "network lan: the host's bridge 'br-lan' is not allowed (policy.allow_host_network)",
     {"allow_host_network": True}),
]  # fmt: skip


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
    ["/", "/srv", "/srv/ab", "/srv/a/../b", "/etc", "/srv/a/docker.sock", "/var/run/docker.sock", "//srv/a"],
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


@pytest.mark.parametrize("driver", ["syslog", "gelf", "fluentd", "awslogs", "some-plugin"])
def test_logs_do_not_go_past_the_worker(driver: str) -> None:
    assert Policy().objections(spec(logging={"driver": driver})) == [
        f"service web: logging driver {driver} would send logs past the worker"
    ]


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
