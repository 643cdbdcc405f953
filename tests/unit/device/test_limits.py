"""What engines leave out: refused by name, and all of it in the documentation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from broker.engine_limits import LIMITS, keys_left_out
from device.engine.limits import PODMAN_DIFFERS, left_out, network_left_out
from device.engine.port import WantedContainer, WantedNetwork
from device.reconcile.wanted import wanted
from tests.harness.apps import PLACE, section, service
from tests.unit.device.test_docker_spec_keys import FULL, container

PAGE = (Path(__file__).parents[3] / "docs" / "compose.md").read_text()
MAC = {"mac_address": "02:42:ac:11:00:02"}


def asking(**keys: Any) -> WantedContainer:
    return wanted(section({"web": service(**keys)}), PLACE).containers["web"]


def test_an_older_docker_is_not_asked_for_what_it_would_leave_out() -> None:
    web = FULL.containers["web"]
    later = ["networks: gw_priority", "networks: interface_name"]
    assert left_out(web, "docker", "1.41") == ["annotations", "volumes: subpath", *later]
    assert left_out(web, "docker", "1.48") == later[1:]
    assert left_out(web, "docker", "1.49") == []


def test_a_second_networks_mac_address_needs_a_newer_docker() -> None:
    second = container(networks={"a": {}, "b": MAC}, networks_top={"a": {}, "b": {}})
    assert left_out(second, "docker", "1.43") == ["networks: mac_address on another than the first"]
    assert left_out(container(networks={"a": MAC}, networks_top={"a": {}}), "docker", "1.41") == []


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"domainname": "d"}, "domainname"),
        ({"runtime": "runc"}, "runtime"),
        ({"cgroup": "host"}, "cgroup"),
        ({"device_cgroup_rules": ["c 1:3 r"]}, "device_cgroup_rules"),
        ({"memswap_limit": -1, "mem_limit": 1 << 26}, "memswap_limit: -1"),
        ({"logging": {"driver": "local"}}, "logging: driver"),
        ({"logging": {"driver": "json-file", "options": {"labels": "x"}}}, "logging: options"),
        ({"mounts": [{"type": "tmpfs", "target": "/t", "tmpfs_uid": 1}]}, "tmpfs: uid and gid"),
    ],
)
def test_podman_is_not_asked_for_what_it_would_leave_out(keys: dict[str, object], told: str) -> None:
    assert left_out(asking(**keys), "podman", "1.41") == [told]
    assert left_out(asking(**keys), "docker", "1.41") == []


def test_what_nearly_all_apps_ask_is_not_refused_by_podman() -> None:
    usual = {"logging": {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}}, "memswap_limit": 1}
    assert left_out(asking(**usual), "podman", "1.41") == []


def test_a_network_that_podman_would_make_otherwise_is_refused_by_name() -> None:
    spec = {"options": {"foo": "bar"}, "pools": [{"subnet": "10.1.0.0/24", "aux_addresses": {"a": "10.1.0.9"}}]}
    app = wanted(section({"web": service()}, networks={"n": spec | {"ipam_options": {"a": "b"}}}), PLACE)
    network: WantedNetwork = app.networks[0]
    assert network_left_out(network, "podman") == [
        "networks: ipam: aux_addresses",
        "networks: ipam: options",
        "networks: driver_opts",
    ]
    assert network_left_out(network, "docker") == []


def test_an_engine_tells_all_that_it_leaves_out() -> None:
    assert keys_left_out("docker", "1.49") == ()
    assert set(keys_left_out("podman", "1.41")) == {limit.key for limit in LIMITS}


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.key)
def test_the_page_says_which_engine_carries_a_key_out(limit: object) -> None:
    key, docker_from, podman_cannot = (getattr(limit, name) for name in ("key", "docker_from", "podman_cannot"))
    docker = f"from API {docker_from}" if docker_from else "yes"
    assert docker_from or podman_cannot
    assert f"| `{key}` | {docker} | refused |" in PAGE


@pytest.mark.parametrize(("key", "how"), PODMAN_DIFFERS)
def test_the_page_says_what_podman_does_differently(key: str, how: str) -> None:
    assert f"| `{key}` | {how} |" in PAGE
