"""What some engines do not carry out, told by the key and never left out unseen."""

from __future__ import annotations

from typing import Any

import pytest

from broker.appspec import Service
from broker.engine_limits import LIMITS, asked_later, keys_left_out, left_out, older
from tests.harness.apps import service

MAC = "02:42:ac:11:00:02"


def m(**keys: Any) -> dict[str, Any]:
    return {"mounts": [{"type": "volume", "target": "/m"} | keys]}


def on(**keys: Any) -> dict[str, Any]:
    return {"networks": {"n": keys}}


ASKED: dict[str, dict[str, Any]] = {
    "annotations": {"annotations": {"a": "b"}},
    "volumes: recursive writable or readonly": m(type="bind", source="/x", recursive="readonly"),
    "volumes: subpath": m(subpath="x"),
    "tmpfs: uid and gid": m(type="tmpfs", tmpfs_uid=1),
    "networks: mac_address on another than the first": {"networks": {"a": {}, "b": {"mac_address": MAC}}},
    "networks: gw_priority": on(gw_priority=1),
    "networks: interface_name": on(interface_name="sea0"),
    "networks: link_local_ips": on(link_local_ips=["169.254.1.2"]),
    "networks: driver_opts": on(driver_opts={"a": "b"}),
    "cgroup": {"cgroup": "private"},
    "device_cgroup_rules": {"device_cgroup_rules": ["c 1:3 mr"]},
    "gpus, and devices that a driver hands out": {"device_requests": [{"count": -1}]},
    "domainname": {"domainname": "sea"},
    "runtime": {"runtime": "runc"},
    "memswap_limit: -1": {"memswap_limit": -1},
    "logging: driver": {"logging": {"driver": "local"}},
    "logging: options": {"logging": {"options": {"compress": "true"}}},
}


def made(key: str) -> Service:
    return Service.model_validate(service(**ASKED[key]))


def test_every_limit_is_tried_here() -> None:
    assert [limit.key for limit in LIMITS] == list(ASKED)


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.key)
def test_a_key_is_left_out_by_the_engines_that_do_not_know_it_and_by_no_others(limit: Any) -> None:
    asked = made(limit.key)
    assert [each.key for each in asked_later(asked)] == [limit.key]
    engines = {"docker 1.41": ("docker", "1.41"), "docker 1.50": ("docker", "1.50"), "podman": ("podman", "1.41")}
    refusing = {name for name, engine in engines.items() if left_out(asked, *engine)}
    assert refusing == ({"docker 1.41", "podman"} if limit.docker_from else {"podman"})


def test_a_plain_service_asks_for_nothing_that_an_engine_lacks() -> None:
    assert asked_later(Service.model_validate(service(ports=[{"target": 80}], privileged=True))) == []


def test_the_first_networks_address_is_known_to_every_engine() -> None:
    asked = {"a": {}, "b": {"mac_address": MAC, "priority": 1}}
    assert left_out(Service.model_validate(service(networks=asked)), "docker", "1.41") == []


def test_all_that_an_engine_lacks_is_listed() -> None:
    assert keys_left_out("docker", "1.50") == ()
    assert set(keys_left_out("docker", "1.41")) < set(keys_left_out("podman", "1.41")) == set(ASKED)


def test_versions_are_numbers_and_what_is_none_is_the_oldest() -> None:
    assert older("1.9", "1.41")
    assert not older("1.41", "1.41")
    assert not older("2.0", "1.41")
    assert older("", "1.41")
