"""What the Engine API is told of the later keys, as data; and what an older API does not know."""

from __future__ import annotations

from typing import Any

import pytest

from broker.appspec import AppSpec
from broker.engine_limits import older
from broker.messages import SealedSecret
from device.engine.docker_spec import (
    container_options,
    docker_mount,
    endpoint_options,
    host_options,
    ipam,
    with_later_endpoint_options,
    with_later_host_options,
    with_later_options,
)
from device.engine.port import WantedContainer
from device.reconcile.wanted import wanted
from tests.harness.apps import PLACE, section, service
from tests.wire.examples import LATER_SPEC

BARE = section({"web": service()})
FULL = wanted(BARE.model_copy(update={"spec": LATER_SPEC, "secrets": {"key": SealedSecret(version=7)}}), PLACE)
FRONT = "hello.iaaaaaaaaaaa.front"


def container(**keys: Any) -> WantedContainer:
    top = {key: keys.pop(key) for key in ("networks_top",) if key in keys}
    spec = {"name": "hello", "services": {"web": service(**keys)}, "networks": top.get("networks_top", {})}
    made = BARE.model_copy(update={"spec": AppSpec.model_validate(spec)})
    return wanted(made, PLACE).containers["web"]


def test_every_later_key_is_told() -> None:
    told = host_options(FULL.containers["web"])
    del told["restart_policy"], told["mounts"]
    assert told == {
        "privileged": False,
        "read_only": False,
        "tmpfs": {"/fast": "uid=1,gid=2,exec"},
        "network_mode": FRONT,
        "pid_mode": "container:hello.iaaaaaaaaaaa.db",
        "ipc_mode": "private",
        "uts_mode": "host",
        "userns_mode": "host",
        "cgroupns": "private",
        "cgroup_parent": "/apps",
        "device_cgroup_rules": ["c 1:3 mr"],
        "device_requests": [
            {"Driver": "nvidia", "Count": 1, "DeviceIDs": ["0"], "Capabilities": [["gpu"]], "Options": {"a": "b"}}
        ],
        "extra_hosts": ["peer:10.0.0.1", "peer:10.0.0.2"],
        "dns_opt": ["ndots:2"],
        "mem_limit": 1 << 26,
        "mem_reservation": 1 << 25,
        "mem_swappiness": 10,
        "cpu_shares": 512,
        "cpu_period": 100_000,
        "cpu_quota": 50_000,
        "cpu_rt_period": 10_000,
        "cpu_rt_runtime": 1_000,
        "cpuset_cpus": "0-1",
        "blkio_weight": 300,
        "blkio_weight_device": [{"Path": "/dev/sda", "Weight": 400}],
        "device_read_bps": [{"Path": "/dev/sda", "Rate": 1000}],
        "device_read_iops": [{"Path": "/dev/sda", "Rate": 10}],
        "device_write_bps": [{"Path": "/dev/sda", "Rate": 2000}],
        "device_write_iops": [{"Path": "/dev/sda", "Rate": 20}],
        "oom_kill_disable": True,
        "runtime": "runc",
        "storage_opt": {"size": "1G"},
        "volumes_from": ["hello.iaaaaaaaaaaa.db:ro"],
    }


def test_what_the_library_has_no_argument_for_is_told_as_well() -> None:
    web = FULL.containers["web"]
    assert with_later_host_options({}, web) == {"Annotations": {"tide": "low"}}
    assert with_later_endpoint_options({}, web, FRONT) == {"GwPriority": 4}
    config = {"Healthcheck": {"Test": ["CMD", "/bin/true"]}}
    assert with_later_options(config, web, "1.44")["Healthcheck"]["StartInterval"] == 500_000_000
    assert with_later_options(config, web, "1.43") == config


def test_an_endpoint_has_all_that_its_attachment_asks() -> None:
    assert endpoint_options(FULL.containers["web"], FRONT) == {
        "aliases": ["web"],
        "ipv4_address": None,
        "ipv6_address": None,
        "link_local_ips": ["169.254.1.2"],
        "mac_address": "02:42:ac:11:00:02",
        "driver_opt": {"wind": "west", "com.docker.network.endpoint.ifname": "sea0"},
    }
    assert container_options(FULL.containers["web"])["mac_address"] == "02:42:ac:11:00:02"


@pytest.mark.parametrize(
    ("recursive", "option"),
    [("disabled", "NonRecursive"), ("writable", "ReadOnlyNonRecursive"), ("readonly", "ReadOnlyForceRecursive")],
)
def test_how_deep_a_mount_goes_is_told(recursive: str, option: str) -> None:
    mount = {"type": "bind", "target": "/t", "source": "/s", "recursive": recursive, "propagation": "rslave"}
    (made,) = container(mounts=[mount]).mounts
    assert docker_mount(made)["BindOptions"] == {"Propagation": "rslave", option: True}


def test_ports_are_not_bound_on_the_hosts_own_network() -> None:
    # docker-py refuses the two together, which ended the reconcile thread.
    assert "port_bindings" not in host_options(container(network_mode="host", ports=[{"target": 80, "published": 80}]))


def test_every_pool_of_a_network_is_told() -> None:
    network = next(each for each in FULL.networks if each.resource == "front")
    assert ipam(network) == {
        "Driver": "default",
        "Config": [
            {
                "Subnet": "10.9.0.0/24",
                "Gateway": "10.9.0.1",
                "IPRange": "10.9.0.128/25",
                "AuxiliaryAddresses": {"crane": "10.9.0.130"},
            },
            {"Subnet": "fd00:9::/64", "Gateway": None, "IPRange": None, "AuxiliaryAddresses": None},
        ],
        "Options": {"a": "b"},
    }


def test_versions_are_compared_as_numbers() -> None:
    assert older("1.9", "1.41")
    assert not older("1.41", "1.41")
    assert not older("1.100", "1.49")
