"""What the Engine API is told of a wanted container, as data."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from docker.types import ContainerConfig, HostConfig
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.appspec import Mount
from device.engine.docker_spec import container_options, docker_mount, host_options
from device.engine.port import BindOrVolume, WantedContainer
from device.reconcile.wanted import wanted
from tests.harness.apps import PLACE, section, service
from tests.unit.device.worlds import WEB_IMAGE, app

FULL = {
    "command": ["serve", "--port", "80"],
    "entrypoint": ["/bin/start"],
    "environment": {"A": "1"},
    "user": "1000",
    "working_dir": "/srv",
    "hostname": "h",
    "domainname": "d",
    "init": False,
    "tty": True,
    "stdin_open": True,
    "read_only": True,
    "privileged": True,
    "ports": [
        {"target": 80, "published": 8080, "host_ip": "127.0.0.1"},
        {"target": 80, "published": 0},
        {"target": 53, "protocol": "udp"},
    ],
    "expose": ["9000", "9001-9002/udp"],
    "networks": {"front": {}, "back": {}},
    "mounts": [{"type": "volume", "target": "/d", "source": "data", "no_copy": True, "read_only": True}],
    "healthcheck": {
        "test": ["CMD", "x"],
        "interval_ms": 1500,
        "timeout_ms": 2000,
        "start_period_ms": 3000,
        "retries": 4,
    },
    "restart": {"policy": "on-failure", "retries": 3},
    "stop_signal": "SIGINT",
    "cap_add": ["NET_ADMIN"],
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges"],
    "devices": ["/dev/ttyS0:/dev/gps:rw"],
    "group_add": ["dialout"],
    "dns": ["10.0.0.1"],
    "dns_search": ["example"],
    "sysctls": {"net.core.somaxconn": "64"},
    "ulimits": {"nproc": {"soft": 1, "hard": 2}, "nofile": {"soft": 3, "hard": 4}},
    "shm_size": 1024,
    "mem_limit": 2048,
    "memswap_limit": 4096,
    "nano_cpus": 500,
    "pids_limit": 5,
    "oom_score_adj": 6,
    "logging": {"driver": "local", "options": {"max-size": "1m"}},
}


def container(**keys: Any) -> WantedContainer:
    networks: dict[str, Any] = {name: {} for name in keys.get("networks", {})}
    return app({"web": service(**keys)}, networks=networks, volumes={"data": {}}).containers["web"]


def test_a_plain_container_is_told_no_more_than_it_needs() -> None:
    plain = container()
    assert host_options(plain) == {
        "restart_policy": {"Name": "no", "MaximumRetryCount": 0},
        "privileged": False,
        "read_only": False,
        "network_mode": "none",
    }
    assert container_options(plain) == {
        "image": WEB_IMAGE,
        "labels": dict(plain.labels),
        "tty": False,
        "stdin_open": False,
    }


def test_everything_asked_of_the_host_is_told() -> None:
    assert host_options(container(**FULL)) == {
        "restart_policy": {"Name": "on-failure", "MaximumRetryCount": 3},
        "mounts": [
            {
                "Type": "volume",
                "Target": "/d",
                "Source": "hello.iaaaaaaaaaaa.data",
                "ReadOnly": True,
                "VolumeOptions": {"NoCopy": True},
            }
        ],
        "port_bindings": {"80/tcp": [("127.0.0.1", 8080), ("", None)], "53/udp": [("", None)]},
        "privileged": True,
        "read_only": True,
        "cap_add": ["NET_ADMIN"],
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "devices": ["/dev/ttyS0:/dev/gps:rw"],
        "group_add": ["dialout"],
        "dns": ["10.0.0.1"],
        "dns_search": ["example"],
        "sysctls": {"net.core.somaxconn": "64"},
        "ulimits": [{"Name": "nofile", "Soft": 3, "Hard": 4}, {"Name": "nproc", "Soft": 1, "Hard": 2}],
        "shm_size": 1024,
        "mem_limit": 2048,
        "memswap_limit": 4096,
        "nano_cpus": 500,
        "pids_limit": 5,
        "oom_score_adj": 6,
        "init": False,
        "network_mode": "hello.iaaaaaaaaaaa.back",
        "log_config": {"Type": "local", "Config": {"max-size": "1m"}},
    }


def test_everything_asked_of_the_container_is_told() -> None:
    want = container(**FULL)
    assert container_options(want) == {
        "image": WEB_IMAGE,
        "command": ["serve", "--port", "80"],
        "entrypoint": ["/bin/start"],
        "environment": {"A": "1"},
        "labels": dict(want.labels),
        "user": "1000",
        "working_dir": "/srv",
        "hostname": "h",
        "domainname": "d",
        "tty": True,
        "stdin_open": True,
        "stop_signal": "SIGINT",
        "ports": [(53, "udp"), (80, "tcp"), (9000, "tcp"), (9001, "udp"), (9002, "udp")],
        "healthcheck": {
            "test": ["CMD", "x"],
            "interval": 1_500_000_000,
            "timeout": 2_000_000_000,
            "start_period": 3_000_000_000,
            "retries": 4,
        },
    }


def test_the_engines_library_takes_all_of_it() -> None:
    want = container(**FULL)
    HostConfig(version="1.41", **host_options(want))
    options = container_options(want)
    ContainerConfig(version="1.41", **options)


def test_an_empty_entrypoint_is_told_because_it_takes_away_the_images_own() -> None:
    # It was left out like an absent one, so the image's entrypoint ran.
    assert container_options(container(entrypoint=[]))["entrypoint"] == []
    assert "entrypoint" not in container_options(container())


def test_a_switched_off_health_check_is_told_and_an_absent_one_is_not() -> None:
    off = container(healthcheck={"test": ["NONE"], "interval_ms": 5})
    assert container_options(off)["healthcheck"] == {"test": ["NONE"]}
    assert "healthcheck" not in container_options(container())


@pytest.mark.parametrize("mode", ["host", "none"])
def test_a_network_mode_stands_in_place_of_networks(mode: str) -> None:
    assert host_options(container(network_mode=mode))["network_mode"] == mode


@pytest.mark.parametrize(
    ("mount", "expected"),
    [
        (
            BindOrVolume("bind", "/t", source="/s", read_only=True, propagation="rslave"),
            {"Type": "bind", "Target": "/t", "Source": "/s", "ReadOnly": True,
             "BindOptions": {"Propagation": "rslave"}},
        ),
        (BindOrVolume("volume", "/t"), {"Type": "volume", "Target": "/t", "Source": None, "ReadOnly": False}),
        (
            BindOrVolume("tmpfs", "/t", tmpfs_size=64, tmpfs_mode=0o1777),
            {"Type": "tmpfs", "Target": "/t", "Source": None, "ReadOnly": False,
             "TmpfsOptions": {"SizeBytes": 64, "Mode": 0o1777}},
        ),
    ],
)  # fmt: skip
def test_a_mount_is_told_by_its_type(mount: BindOrVolume, expected: dict[str, Any]) -> None:
    assert docker_mount(mount) == expected


mounts = st.builds(
    Mount,
    type=st.sampled_from(["volume", "bind", "tmpfs"]),
    target=st.just("/t"),
    source=st.sampled_from(["/s"]),
    read_only=st.booleans(),
    create_host_path=st.booleans(),
    propagation=st.sampled_from(["", "rslave", "private"]),
    no_copy=st.booleans(),
    tmpfs_size=st.sampled_from([None, 0, 64]),
    tmpfs_mode=st.sampled_from([None, 0, 0o1777]),
)


@settings(deadline=None, max_examples=40)
@given(mounts)
def test_every_mount_a_spec_may_have_is_one_the_library_takes(mount: Mount) -> None:
    # What the library refuses counts as a mistake of ours and ends the thread: a bind with a tmpfs size once did.
    source = "data" if mount.type == "volume" else mount.source
    spec = service(mounts=[mount.model_dump() | {"source": source}])
    made = section({"web": spec}, volumes={"data": {}})
    (of_container,) = wanted(made, PLACE).containers["web"].mounts
    assert docker_mount(of_container)["Type"] == mount.type
    assert docker_mount(replace(of_container, read_only=True))["ReadOnly"] is True
