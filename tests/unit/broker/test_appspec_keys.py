"""The AppSpec's later keys: what they refuse, what a device of before still takes, and what a file's content may be."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from broker.appspec import FILE_BYTES_MAX, AppSpec, File, Network, file_of
from tests.harness.apps import service
from tests.wire.examples import LATER_SPEC, SPEC


def spec(*, db: dict[str, Any] | None = None, top: dict[str, Any] | None = None, **web: Any) -> AppSpec:
    services = {"web": service(**web), "db": service("db", **(db or {}))}
    return AppSpec.model_validate({"name": "hello", "services": services} | (top or {}))


AFTER_DB: dict[str, Any] = {"depends_on": {"db": {}}}
JOINED: dict[str, Any] = AFTER_DB | {"network_mode": "service:db"}
FILES: dict[str, Any] = {
    "configs": {"c": {"content": "x"}},
    "secrets": {"s": {}},
    "networks": {"n": {}},
}


def config(target: str = "/etc/c", source: str = "c") -> dict[str, Any]:
    return {"configs": [{"source": source, "target": target}]}


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"pid": "container:"}, "String should match pattern"),
        ({"ipc": "container:/x"}, "String should match pattern"),
        ({"network_mode": "container"}, "String should match pattern"),
        ({"volumes_from": ["container:../x"]}, "String should match pattern"),
        ({"pid": "service:nobody"}, "services.web: it joins service 'nobody', which is not there"),
        ({"volumes_from": ["nobody"]}, "services.web: it joins service 'nobody', which is not there"),
        ({"network_mode": "service:db"}, "services.web: it joins service 'db', so it must depend on it"),
        ({"volumes_from": ["db:ro"]}, "services.web: it joins service 'db', so it must depend on it"),
        (AFTER_DB | {"ipc": "service:db"}, "services.web.ipc: service 'db' must have ipc: shareable"),
        (JOINED | {"ports": [{"target": 80}]}, "ports: it belongs to whose network is joined"),
        (JOINED | {"hostname": "h"}, "hostname: it belongs to"),
        (JOINED | {"extra_hosts": {"a": "1"}}, "extra_hosts: it belongs to"),
        (JOINED | {"telemetry": {"access": "tcp"}}, "x-skerry.telemetry: tcp needs a network of its own"),
        ({"oom_kill_disable": True}, "oom_kill_disable: without mem_limit"),
        ({"mem_swappiness": 101}, "less than or equal to 100"),
        ({"cpuset": "all"}, "String should match pattern"),
        ({"device_cgroup_rules": ["a *:* rwm; b"]}, "String should match pattern"),
        ({"runtime": "../x"}, "String should match pattern"),
        (config("/etc/"), "'/etc/' is not the path of a file"),
        (config("/etc/../x"), "'/etc/../x' is not the path of a file"),
        (config("etc"), "String should match pattern"),
        (config(source="d"), "services.web.configs: there is no config 'd'"),
        ({"secrets": [{"source": "c", "target": "/x"}]}, "services.web.secrets: there is no secret 'c'"),
        (
            config("/run/c") | {"mounts": [{"type": "tmpfs", "target": "/run", "read_only": True}]},
            "configs: /run/c would be inside of /run, where no file can be put",
        ),
        (config("/m") | {"mounts": [{"type": "tmpfs", "target": "/m/"}]}, "configs: something else is mounted at /m"),
        ({"configs": [{"source": "c", "target": "/m"}, {"source": "c", "target": "/m"}]}, "something else is mounted"),
        (config("/dev/c"), "configs: /dev/c would be inside of /dev, where no file can be put"),
        (
            {"update": {"order": "start-first"}, "ports": [{"target": 80, "published": 8080}]},
            "deploy.update_config.order: start-first cannot be, two containers cannot both have the "
            "device's port 8080; use stop-first",
        ),
        ({"replicas": 0}, "greater than or equal to 1"),
        ({"replicas": 65}, "less than or equal to 64"),
        (
            {"replicas": 3, "ports": [{"target": 80, "published": 65534}]},
            "ports: no port of the device is left for each of 3 replicas",
        ),
        (
            {"replicas": 2, "networks": {"n": {"ipv4_address": "10.0.0.2"}}},
            "networks.n.ipv4_address: 2 replicas cannot share 10.0.0.2",
        ),
        (
            {"replicas": 2, "networks": {"n": {"mac_address": "02:42:ac:11:00:02"}}},
            "networks.n.mac_address: 2 replicas cannot share 02:42:ac:11:00:02",
        ),
        ({"post_start": [{"command": []}]}, "at least 1 item"),
        ({"pre_stop": [{"command": ["a"], "image": "b"}]}, "Extra inputs are not permitted"),
        ({"display": "always"}, "Input should be 'off', 'auto' or 'require'"),
    ],
)
def test_a_key_that_cannot_be_carried_out_is_refused_and_the_rule_named(keys: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError) as refused:
        spec(top=FILES, **keys)
    assert why in str(refused.value)


def test_a_port_that_the_engine_chooses_does_not_stand_in_the_way_of_start_first() -> None:
    made = spec(update={"order": "start-first"}, ports=[{"target": 80}])
    assert made.services["web"].update is not None


def test_a_service_tells_whom_it_joins() -> None:
    web = spec(db={"ipc": "shareable"}, **JOINED, ipc="service:db", volumes_from=["db:ro"]).services["web"]
    assert web.joins == ("db",)


def test_an_app_has_no_more_containers_than_a_device_is_asked_to_start() -> None:
    services = {f"s{number}": service(replicas=64) for number in range(4)}
    assert len(AppSpec.model_validate({"name": "hello", "services": services}).services) == 4
    with pytest.raises(ValidationError, match="320 containers; 256 may be"):
        AppSpec.model_validate({"name": "hello", "services": services | {"s4": service(replicas=64)}})


def test_each_replica_has_the_next_port_of_the_device_and_the_engines_choice_stays_one() -> None:
    web = spec(replicas=3, ports=[{"target": 80, "published": 8000}, {"target": 81}]).services["web"]
    assert web.ports_of(1) == web.ports
    assert [port.published for port in web.ports_of(3)] == [8002, 0]


@pytest.mark.parametrize("data", [b"", b"a\n", "é".encode(), b"\x00\xff", b"\x00"])
def test_a_file_holds_what_it_was_made_from(data: bytes) -> None:
    assert file_of(data).data == data


def test_a_file_is_as_large_as_its_bytes() -> None:
    assert len(file_of(b"\xff" * FILE_BYTES_MAX).data) == FILE_BYTES_MAX
    with pytest.raises(ValidationError, match=f"{FILE_BYTES_MAX + 1} bytes"):
        file_of(b"a" * (FILE_BYTES_MAX + 1))
    with pytest.raises(ValidationError, match="not base64"):
        File(content="?", encoding="base64")


def test_the_files_of_an_app_are_bounded_together() -> None:
    half = {"content": "a" * FILE_BYTES_MAX}
    with pytest.raises(ValidationError, match="65536 bytes together"):
        spec(top={"configs": {"a": half, "b": half}})


def test_a_network_says_its_addresses_once() -> None:
    assert [pool.subnet for pool in Network(subnet="10.0.0.0/24").ranges] == ["10.0.0.0/24"]
    with pytest.raises(ValidationError, match="exclude each other"):
        Network.model_validate({"subnet": "10.0.0.0/24", "pools": [{"subnet": "10.1.0.0/24"}]})


def keys_of(value: object) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*(keys_of(item) for item in value.values()))
    return set().union(*(keys_of(item) for item in value)) if isinstance(value, list | tuple) else set()


def test_a_device_that_does_not_know_the_later_keys_is_not_told_of_those_left_at_their_default() -> None:
    later = keys_of(LATER_SPEC.model_dump(mode="json")) - keys_of(SPEC.model_dump(mode="json"))
    assert {"pid", "configs", "secrets", "pools", "subpath", "mac_address", "start_interval_ms"} <= later
    assert not later & keys_of(AppSpec.model_validate(SPEC.plain()).model_dump(mode="python"))


def test_the_digest_of_the_later_keys_is_a_constant_of_the_protocol() -> None:
    assert LATER_SPEC.digest == "sha256:8629cc682886c0d44f5b48b90123ff1c15527819e1f0333ff589886cf519ae21"
