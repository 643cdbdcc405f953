"""What Podman is told otherwise, as data."""

from __future__ import annotations

from dataclasses import replace

import pytest

from broker.appspec import Healthcheck
from device.engine import labels
from device.engine.podman_spec import adapted, mounts, network_options
from device.engine.port import BindOrVolume, EngineRefused
from device.reconcile.wanted import wanted
from tests.harness.apps import PLACE, section, service

APP = wanted(section({"web": service()}, networks={"n": {}}), PLACE)
WEB = APP.containers["web"]


@pytest.mark.parametrize(
    ("test", "told"),
    [
        (("CMD-SHELL", "a  b | c"), "CMD-SHELL a  b | c"),
        (("CMD", "/bin/x"), "CMD /bin/x"),
        (("CMD", "/bin/x", "a b", ""), '["/bin/x", "a b", ""]'),
    ],
)
def test_the_words_of_a_health_check_stay_together(test: tuple[str, ...], told: str) -> None:
    made = adapted({"Labels": {}}, WEB, Healthcheck(test=test))
    assert made["Healthcheck"] == {"Test": [told]}


def test_a_health_check_that_podman_would_split_is_refused() -> None:
    with pytest.raises(EngineRefused, match="only word"):
        adapted({"Labels": {}}, WEB, Healthcheck(test=("CMD", "/bin/a b")))


def test_the_interval_while_starting_travels_as_a_label() -> None:
    check = Healthcheck(test=("CMD", "x"), start_interval_ms=500)
    assert adapted({"Labels": {"a": "b"}}, WEB, check)["Labels"] == {"a": "b", labels.START_INTERVAL: "500"}


def test_a_check_that_is_switched_off_stays_so() -> None:
    told = {"Labels": {}, "Healthcheck": {"Test": ["NONE"]}, "StopTimeout": 3}
    assert adapted(told, WEB, Healthcheck(test=("NONE",))) == told


def test_what_podman_takes_for_nothing_is_said_in_full() -> None:
    made = adapted({"Labels": {}, "Entrypoint": []}, WEB, None)
    assert (made["Entrypoint"], made["StopTimeout"]) == ([""], 10)


def test_mounts_are_told_in_the_older_words() -> None:
    container = replace(
        WEB,
        mounts=(
            BindOrVolume("bind", "/a", source="/x", read_only=True, propagation="rslave"),
            BindOrVolume("bind", "/b", source="/x", recursive="disabled"),
            BindOrVolume("volume", "/c", source="data", no_copy=True),
            BindOrVolume("volume", "/d"),
            BindOrVolume("tmpfs", "/e", tmpfs_size=9),
        ),
    )
    told = mounts(container)
    assert told["binds"] == ["/x:/a:rbind,rslave,ro", "/x:/b:bind,rw", "data:/c:nocopy,rw"]
    assert told["tmpfs"] == {"/e": "size=9,notmpcopyup"}
    assert [mount["Target"] for mount in told["mounts"]] == ["/d"]


def test_a_mount_with_a_colon_is_refused() -> None:
    with pytest.raises(EngineRefused, match="colon"):
        mounts(replace(WEB, mounts=(BindOrVolume("bind", "/a", source="/x:y"),)))


def test_a_network_has_an_interface_of_its_own_unless_it_names_one() -> None:
    network = APP.networks[0]
    name = network_options(network)["com.docker.network.bridge.name"]
    assert name.startswith("sk")
    assert len(name) == 15
    named = replace(network, options={"com.docker.network.bridge.name": "sea0"})
    assert network_options(named) == dict(named.options)
