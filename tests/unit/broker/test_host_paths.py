"""Which paths of a device may be mounted, and which give the device away."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from broker.host_paths import HostPaths

ANYWHERE = HostPaths(prefixes=("/",))
POWER = HostPaths(prefixes=("/",), engine_socket=True)


@pytest.mark.parametrize(
    "source",
    [
        *("/var/run/docker.sock", "/run/docker.sock", "/run/podman/podman.sock", "/run/user/1000/podman/podman.sock"),
        *("/run/user/1000/docker.sock", "/srv/docker.sock", "/run/containerd/containerd.sock"),
        *("/", "/run", "/var/run", "/var", "/run/user", "/run/user/1000", "/run/user/1000/podman", "/var/lib"),
        *("/var/lib/docker/volumes/other/_data", "/var/lib/containers", "/var/lib/skerry/identity"),
    ],
)
def test_the_engines_socket_its_data_ours_and_all_folders_above_need_a_grant_of_their_own(source: str) -> None:
    assert ANYWHERE.missing(source) == "allow_engine_socket"
    assert POWER.missing(source) == ""


def test_the_grant_of_the_socket_is_none_for_the_folder_it_is_in() -> None:
    socket = HostPaths(engine_socket=True)
    assert socket.missing("/run/docker.sock") == ""
    assert socket.missing("/run") == "allow_bind_prefixes"
    assert socket.missing("/srv") == "allow_bind_prefixes"


def test_a_folder_of_the_worker_elsewhere_counts_like_the_engines_socket() -> None:
    paths = HostPaths(prefixes=("/data",), ours=("/data/skerry",))
    assert [paths.missing(source) for source in ("/data/a", "/data", "/data/skerry", "/data/skerry/x")] == [
        "",
        *["allow_engine_socket"] * 3,
    ]


def test_another_socket_is_allowed_by_its_own_name_alone() -> None:
    assert HostPaths(prefixes=("/run/gpsd",)).missing("/run/gpsd/gpsd.sock") == "allow_bind_prefixes"
    assert HostPaths(prefixes=("/run/gpsd/gpsd.sock",)).missing("/run/gpsd/gpsd.sock") == ""


@pytest.mark.parametrize("source", ["srv", "", "/srv/../etc", "../srv"])
def test_a_path_that_is_not_plain_is_never_allowed(source: str) -> None:
    assert POWER.missing(source) == "allow_bind_prefixes"


def test_links_of_the_owner_are_followed_and_links_out_of_his_prefixes_are_not(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "out").symlink_to("/etc")
    (tmp_path / "disk" / "engine").symlink_to("/var/lib/docker")
    (tmp_path / "data").symlink_to("disk")
    written = HostPaths(prefixes=(f"{tmp_path}/data",))
    real = written.real(os.path.realpath)

    def missing(name: str) -> str:
        assert written.missing(f"{tmp_path}/data/{name}") == ""
        return real.missing(os.path.realpath(f"{tmp_path}/data/{name}"))

    assert missing("inside") == ""
    assert missing("out") == "allow_bind_prefixes"
    assert missing("engine") == "allow_engine_socket"
